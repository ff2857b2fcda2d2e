"""Small tokenizers with the same steps as those in use, trained on this repository's texts, and texts for testing them."""
import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers as pre, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")] + [
    "Größe, naïve, façade, café 東京都は日本の首都です。 Привет, мир! 👩‍👩‍👧‍👦🙂 हिन्दी مرحبا 한국어 ½ ² 1234567890 3.14159" * 3,
    "  leading and   inner  spaces \t tabs\n \n  trailing   " * 5,
]
QWEN = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
FIRST = r"[^\r\n\p{L}\p{N}]?"
O200K = rf"{FIRST}{UPPER}*{LOWER}+{ENGLISH}|{FIRST}{UPPER}+{LOWER}*{ENGLISH}|\p{{N}}{{1,3}}|{TAIL}"
TEKKEN = rf"{FIRST}{UPPER}*{LOWER}+|{FIRST}{UPPER}+{LOWER}*|\p{{N}}|{TAIL}"
DEEPSEEK = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
PHI4 = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def split(pattern, behavior="isolated", invert=False):
    return pre.Split(Regex(pattern), behavior=behavior, invert=invert)


def letters(use_regex=True, add_prefix_space=False):
    return pre.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def patterned(*patterns, **kw):
    return byte_level(pre.Sequence([*map(split, patterns), letters(use_regex=False)]), **kw)


def byte_level(pre_tokenizer, normalizer=None, template=False, extra=(), **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>")])
    tokenizer.add_tokens(list(extra))
    if template:
        bos = (SPECIAL[0], tokenizer.token_to_id(SPECIAL[0]))
        single, pair = f"{bos[0]}:0 $A:0", f"{bos[0]}:0 $A:0 {bos[0]}:1 $B:1"
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single=single, pair=pair, special_tokens=[bos]),
        ])
    return tokenizer


def sentence_piece(normalizer=None, pre_tokenizer=None, decoder=None, extra=(), fuse=True, fallback=True):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer or pre.Metaspace(prepend_scheme="never")
    first = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=540, special_tokens=first, limit_alphabet=90, show_progress=False))
    values = json.loads(tokenizer.to_str())
    values["added_tokens"] = values["added_tokens"][:3]
    if pre_tokenizer is None:
        values["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(values))
    tokenizer.decoder = decoder
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    tokenizer.add_tokens(list(extra))
    return tokenizer


def fallback_decoder(strips=True):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strips else []))


def lossy():
    """SmolLM's kind: some bytes have no token, and the file's ids of added tokens are not the effective ones."""
    tokenizer = byte_level(pre.Sequence([pre.Digits(individual_digits=True), letters()]))
    values = json.loads(tokenizer.to_str())
    drop = {k for k in values["model"]["vocab"] if len(k) == 1 and ord(k) > 0xFF and ord(k) % 3 == 0} | {"Ã", "â"}
    kept = [k for k in values["model"]["vocab"] if not drop & set(k)]
    values["model"]["vocab"] = {k: i for i, k in enumerate(kept)}
    known = set(kept)
    values["model"]["merges"] = [m for m in values["model"]["merges"] if {m[0], m[1], m[0] + m[1]} <= known]
    values["added_tokens"] = [dict(token, id=900 + 3 * i) for i, token in enumerate(values["added_tokens"])]
    return Tokenizer.from_str(json.dumps(values))


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre.Metaspace(), decoders.Metaspace()
    return trained(tokenizer, trainers.UnigramTrainer(vocab_size=400, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False))


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizers.BertNormalizer(), pre.BertPreTokenizer(), decoders.WordPiece()
    trained(tokenizer, trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre.Whitespace()
    return trained(tokenizer, trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False))


def clip():
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Punctuation("merged_with_next")])
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return trained(tokenizer, trainers.BpeTrainer(vocab_size=400, end_of_word_suffix="</w>", special_tokens=["<unk>"], show_progress=False))


def prefixed():
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="##", unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Digits()])
    tokenizer.decoder = decoders.CTC(pad_token="e", word_delimiter_token="##")
    return trained(tokenizer, trainers.BpeTrainer(vocab_size=400, continuing_subword_prefix="##", special_tokens=["<unk>"], show_progress=False))


ADDED = [
    AddedToken("Word", single_word=True), AddedToken("ABC", normalized=True), AddedToken("<b>", lstrip=True, rstrip=True),
    AddedToken("<bb>", lstrip=True), AddedToken("ﬁx"), AddedToken(" sp "), AddedToken("é"), AddedToken("東京"),
    AddedToken("[M] x", special=True, single_word=True),
]
KINDS = {
    "llama3": lambda: patterned(LLAMA3, template=True, ignore_merges=True),
    "qwen": lambda: patterned(QWEN, normalizer=normalizers.NFC()),
    "deepseek": lambda: patterned(
        r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK, template=True, normalizer=normalizers.Sequence([]),
        extra=[AddedToken("<｜User｜>", normalized=False, special=True), AddedToken("<｜tool▁calls▁begin｜>", normalized=False)],
    ),
    "tekken": lambda: patterned(TEKKEN, template=True),
    "o200k": lambda: patterned(O200K),
    "phi4": lambda: byte_level(
        pre.Sequence([split(PHI4, "removed", invert=True), letters(use_regex=False)]),
        extra=[AddedToken("<|end|>", rstrip=True, special=True, normalized=False), AddedToken("<|l|>", lstrip=True, special=True, normalized=False)],
    ),
    "gpt2": lambda: byte_level(letters(add_prefix_space=True)),
    "smollm": lambda: byte_level(pre.Sequence([pre.Digits(individual_digits=True), letters()])),
    "falcon": lambda: byte_level(pre.Sequence([pre.Punctuation("contiguous"), letters(), pre.Digits(individual_digits=False), split("[0-9][0-9][0-9]")])),
    "bloom": lambda: patterned(r" ?[^(\s|[.,!?…。，、।۔،])]+"),
    "lossy": lossy,
    "added": lambda: patterned(QWEN, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), extra=ADDED),
    "llama2": lambda: sentence_piece(
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), decoder=fallback_decoder(),
        extra=[AddedToken("<normal>", normalized=True), AddedToken("[INST]", special=True, normalized=False)],
    ),
    "mistral": lambda: sentence_piece(
        pre_tokenizer=pre.Metaspace(prepend_scheme="first", split=False), decoder=fallback_decoder(),
        extra=[AddedToken("[INST]", special=True, normalized=False)],
    ),
    "gemma": lambda: sentence_piece(
        normalizer=normalizers.Replace(" ", "▁"), pre_tokenizer=pre.Split(" ", "merged_with_previous"), decoder=fallback_decoder(False),
        extra=[AddedToken("<start_of_turn>", special=True, normalized=False), AddedToken("\n\n", normalized=False), AddedToken("▁▁", normalized=False)],
    ),
    "no-fallback": lambda: sentence_piece(fallback=False, normalizer=normalizers.Replace(" ", "▁"), decoder=decoders.Metaspace()),
    "no-fuse": lambda: sentence_piece(fallback=False, fuse=False, pre_tokenizer=pre.Metaspace(), decoder=decoders.Metaspace(prepend_scheme="first")),
    "unigram": unigram, "word-piece": word_piece, "word-level": word_level, "clip": clip, "prefixed": prefixed,
}

POOLS = [
    list("abcdefghij ABCDE"), list(" \t\n\r\x0b\x0c\u0085\u00a0\u2003\u3000\u2028\ufeff\u200b\u1680\x1c"), list("0123456789½²٣Ⅷ①"),
    list("'s'S't're'LL'dſ'"), list("éÉßſçñ漢字ひらカタ한국어αβΓΣς\u0301\u0304\u0345"), list("😀👩\u200d👧🙂🏽🇩🇪️"),
    list(".,!?;:-_/\\()[]{}<>|&^%$#@~`\"'+=*"), list("\x00\x01\x1b\x7f\u00ad"), list("हिन्दीमرحباשלום"),
    ["the ", "and ", "attention", " model", "Word", "ABC", "abc", "<think>", "</think>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
     "<s>", "</s>", "<unk>", "[INST]", "<start_of_turn>", "<normal>", "<b>", "<bb>", "ﬁx", " sp ", "é", "東京", "[M] x", "<|end|>", "<|l|>",
     "<｜User｜>", "\n\n", "▁", "▁▁", "<0x41>", "▁the", "##s", "[CLS]", "{{", "\\boxed"],
]
FIXED = [
    "", " ", "  ", "\n", "\r\n", "\r\n\r\n", " ½", " ²", "\ufeff", "\ufeffa", "a\ufeff", "a\u0000b", "\u0000", "e\u0301", "Å", "ﬁ", "ΑΣ", "İ",
    "👩‍👩‍👧‍👦", "echo 'some text' !== b", "a" * 300, " " * 300 + "a", "\n" * 300, "0" * 100, "don't DON'T I'LL 'ſ 'K", "<s> a <s>b",
    " <|im_start|> x<|im_end|>\n", "ABCabcAbc Word Words aWord Word.", "x <b>  y <bb> z", "\u2028\u2029\u0085", "\ufffd", "a\u0338<think≯",
    "\ud7ff\ue000\uffff", " <bb>x", "<b> <bb>", "\t<b>\n<b> ", "<bb><bb> <bb>", " <|end|> <|l|>", "<|end|>\n\n<|end|>x", "a<|l|> <|l|>", "Word", "Word,Word",
]


def any_character(rng):
    # old characters of Unicode, since newer ones are not in every table
    while True:
        c = chr(rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x250, 0x1C00), rng.randrange(0x2000, 0x3100), rng.randrange(0x3100, 0x9FA0), rng.randrange(0xAC00, 0xD7A0), rng.randrange(0xE000, 0x10000), rng.randrange(0x1D400, 0x1D7FF), rng.randrange(0x1F300, 0x1F600)]))
        if unicodedata.ucd_3_2_0.category(c) != "Cn" or 0x1F300 <= ord(c):
            return c


def any_text(rng):
    n = rng.choice([1, 2, 3, 4, 6, 10, 20])
    if rng.random() < 0.15:
        return "".join(any_character(rng) for _ in range(n))
    pools = rng.sample(POOLS, rng.randint(1, 4))
    text = "".join(rng.choice(rng.choice(pools)) for _ in range(n))
    return text + rng.choice(" \na") * rng.choice([5, 50]) + rng.choice(["", "x", "\n"]) if rng.random() < 0.1 else text
