"""Writes test/golden/gguf-tokenizers/{byte-level,sentence-piece}.json: vocabularies as GGUF files spell them, with the ids of
Python `tokenizers` 0.23 for the published tokenizers of each kind.

    pip install tokenizers==0.23.3 transformers==5.24.0 && python test/golden/make-gguf-tokenizers.py   (from the root)
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers as pre, processors, trainers
from tokenizer_kinds import CORPUS, DEEPSEEK, FIXED, LLAMA3, O200K, QWEN, TEKKEN, any_text, fallback_decoder, letters, split
from transformers.tokenization_utils_base import generate_merges

OUT = pathlib.Path("test/golden/gguf-tokenizers")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def patterns(*sources):
    return pre.Sequence([*map(split, sources), letters(use_regex=False)])


DIGITS = pre.Sequence([pre.Digits(individual_digits=True), letters()])
CASED = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
EAST = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
NFC = normalizers.NFC()
# names of llama.cpp, pre-tokenizer of their published tokenizers, their normalizer, whether they ignore merges, whether they add BOS
KINDS = [
    (["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"], patterns(LLAMA3), None, True, True),
    (["dbrx", "chatglm-bpe"], patterns(LLAMA3), None, False, False),
    (["smaug-bpe", "glm4", "glm5"], patterns(LLAMA3), None, True, False),
    (["minicpm5"], patterns(r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")), None, True, False),
    (["qwen2", "deepseek-r1-qwen", "megrez", "kormo", "f2llmv2"], patterns(QWEN), NFC, False, False),
    (["stablelm2", "hunyuan", "solar-open", "grok-2"], patterns(QWEN), None, False, False),
    (["qwen35"], patterns(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), NFC, False, False),
    (["ufakzeka"], patterns(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), None, False, False),
    (["seed-coder"], patterns(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"), None, False, False),
    (["bailingmoe", "bailingmoe2", "llada-moe"], patterns(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"), None, False, False),
    (["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], patterns(O200K), None, False, False),
    (["tekken"], patterns(TEKKEN), None, True, True),
    (["deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"], patterns(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK), None, False, False),
    (["deepseek-llm"], pre.Sequence([split("[\r\n]"), split(rf"\s?[{CASED}]+"), split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"), split(EAST), pre.Digits(individual_digits=False), letters(use_regex=False)]), None, False, False),
    (["deepseek-coder"], pre.Sequence([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(EAST), pre.Digits(individual_digits=True), letters(use_regex=False)]), None, False, False),
    (["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"], DIGITS, None, False, False),
    (["command-r"], DIGITS, NFC, False, False),
    (["gpt-2", "phi-2", "jais", "gigachat", "trillion", "granite-docling", "a.x-4.0", "mellum", "exaone4"], letters(), None, False, False),
    (["mpt", "olmo", "modern-bert"], letters(), NFC, False, False),
    (["falcon"], pre.Sequence([pre.Punctuation("contiguous"), letters(), pre.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]), None, False, False),
    (["bloom", "poro-chat", "gpt3-finnish"], patterns(BLOOM), None, False, False),
    (["viking"], pre.Sequence([split(BLOOM), pre.Digits(individual_digits=True), letters(use_regex=False)]), None, False, False),
    (["default"], patterns(r"[\p{P}\$\+<=>\^~\|]+", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)", r"\p{N}+", "[0-9][0-9][0-9]"), None, False, False),
]
TEXTS = FIXED + [
    "I'VE told 'em we'll, she's 12345 and 1,234,567.89 ½²٣Ⅷ", "Qjxz  Qjxz\n\n\n Qjxz\t\tQjxz" + " long enough to be no text of the training" * 2, "def f(x):\r\n\treturn x['key'] + 1_000  # don't!\r\n\r\n",
    "cafe\u0301 naïve Å ﬁ İstanbul ǅungla ΌΣΟΣ हिन्दी ไทย 東京都 ひらがな 한국어", "<|im_start|>user\nHi 007<|im_end|>\n<think>x</think>", "...!!!??? --- === '''`` $+<=>^~|",
    "it's x's! 'sa it'sx\n\n\n\n12 1½ a,\n b!?\r\n c .d", "a\u0301b\u0302 ะก็ हि की 'd\u0301 .\u0301.\n", "1234 12 123456 x1y22z333  45   678", "foo\n  bar\n\n  baz \n", "`` a`b` `12`",
    "HelloWorld helloWorld HTTPServer ABCdef 'sHTTP's iPhone", "a/b/c //\n path/to/file.txt\n", "\u0301\u0301a b\u0301 1\u0301", "😀👩‍👩‍👧‍👦🇩🇪 1️⃣", "    indented\n        more\n\tmixed \t x   ",
]


def byte_level():
    base = Tokenizer(models.BPE())
    base.pre_tokenizer = letters(use_regex=False)  # no splits, and merges of the texts themselves, so that ids show the splits of each kind
    parts = [t[i:j] for t in TEXTS if len(t) < 90 for i in range(0, len(t), 3) for j in range(i + 2, min(i + 7, len(t) + 1))]
    parts += ["'sa", "'sx", "\n\n", "\n\n\n", " \n\n", "123", "1234", "  ", "   "] * 20
    base.train_from_iterator(parts, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(base.to_str())["model"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + sorted(model["vocab"], key=model["vocab"].get) + ["ĠQjxz", "Qjxz", "<think>", "</think>", "[PAD1007]"]
    types = [CONTROL] * 3 + [NORMAL] * (len(tokens) - 6) + [USER_DEFINED] * 2 + [UNUSED]
    vocab, merges = {t: i for i, t in enumerate(tokens[:-1])}, [tuple(m) for m in model["merges"]]
    rng = random.Random(9)
    texts = TEXTS + [any_text(rng) for _ in range(60)]
    kinds = []
    for names, pre_tokenizer, normalizer, ignores, adds_bos in KINDS:
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignores))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in tokens[:3]])
        tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>")])
        ids = [tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
        kinds.append(dict(names=names, addsBos=adds_bos, normalizes=normalizer is not None, ids=ids))
    metadata = {
        "general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [" ".join(m) for m in merges], "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 2,
    }
    return dict(metadata=metadata, texts=texts, kinds=kinds)


def pieces(size, special):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre.Metaspace(prepend_scheme="never", split=False)
    first = special + [f"<0x{b:02X}>" for b in range(256)]
    # no character may be rarer than the trainer's minimum, else the fixture has no fallback; 70 characters leave some out
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=first, limit_alphabet=70, show_progress=False))
    vocab = tokenizer.get_vocab()
    return sorted(vocab, key=vocab.get)


def sentence_piece_case(architecture, tokens, types, scores, prefix, rng):
    """The tokenizer that SpmConverter of transformers makes: merges by score for Llama, by id for Gemma."""
    is_gemma = architecture == "gemma3"
    spelled = ["▁" * len(t) if is_gemma and len(t) > 1 and t.strip(" ") == "" else t for t in tokens]
    vocab = {t: i for i, t in enumerate(spelled)}
    order = {t: -i if is_gemma else s for i, (t, s) in enumerate(zip(spelled, scores))}
    unk = spelled[types.index(UNKNOWN)]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=generate_merges(vocab, order), fuse_unk=True, byte_fallback=True, unk_token=unk))
    signs = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), signs]) if prefix else signs
    if is_gemma:
        tokenizer.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    tokenizer.decoder = fallback_decoder(prefix)
    bos = "<bos>" if is_gemma else "<s>"
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(spelled, types) if k in (UNKNOWN, CONTROL)])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t, k in zip(tokens, types) if k == USER_DEFINED and t in vocab])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, vocab[bos])])
    # runs, in which the places of one token compete, and words of few letters, in which tokens of one score do
    texts = [c * n + "x" for c in (" ", "a", "=") for n in range(2, 33)] + ["".join(rng.choice("theandior▁s ") for _ in range(14)) for _ in range(80)]
    texts += TEXTS + [" leading", "  two", "a  b   c    d" + " " * 9, "▁▁x", "<s>[INST] hi [/INST]", "<bos> x", "aaaa aaa aa", "\t\ttab\n\n\n\nx"] + [any_text(rng) for _ in range(60)]
    encodings = [[t, tokenizer.encode(t).ids] for t in texts]
    runs = [ids for _, ids in encodings] + [[rng.randrange(len(tokens)) if rng.random() < 0.3 else rng.randrange(259) for _ in range(8)] for _ in range(60)]
    decodings = [[r, tokenizer.decode(r, skip_special_tokens=False), tokenizer.decode(r)] for r in runs]
    metadata = {
        "general.architecture": architecture, "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": types, "tokenizer.ggml.add_space_prefix": prefix,
        "tokenizer.ggml.bos_token_id": vocab[bos], "tokenizer.ggml.eos_token_id": vocab["<eos>" if is_gemma else "</s>"], "tokenizer.ggml.unknown_token_id": vocab[unk],
    }
    return dict(metadata=metadata, encodings=encodings, decodings=decodings)


def sentence_piece():
    rng = random.Random(5)
    repeated = [c * n for n in (3, 2, 5, 4) for c in ("▁", "a", "=")]
    llama = [t for t in pieces(620, ["<unk>", "<s>", "</s>"]) if t not in repeated]
    llama = llama[:300] + repeated + llama[300:]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(llama) - 259)
    scores = [0.0] * 259 + [-float(i) for i in range(len(llama) - 259)]
    added, added_types, added_scores = llama + ["<think>", " sp "], kinds + [USER_DEFINED] * 2, scores + [-1000.0] * 2
    ties = [0.0] * 259 + [-float(i // 60) for i in range(len(llama) - 259)]
    runs = ["\n" * n for n in (1, 2, 3)] + [" " * n for n in range(2, 15)]
    plain = pieces(620, ["<pad>", "<eos>", "<bos>", "<unk>"])
    rest = [t for t in plain[260:] if t not in runs and t.strip("▁") != ""]
    gemma = plain[:4] + ["<start_of_turn>", "<end_of_turn>"] + runs + plain[4:260] + ["▁"] + rest
    gemma_types = [CONTROL] * 3 + [UNKNOWN] + [CONTROL] * 2 + [USER_DEFINED] * 16 + [BYTE] * 256 + [NORMAL] * (len(rest) + 1)
    gemma_scores = [-1000.0] * 22 + [0.0] * 256 + [-float(i) for i in range(len(rest) + 1)]
    return {
        "llama": sentence_piece_case("llama", added, added_types, added_scores, True, rng),
        "no prefix": sentence_piece_case("llama", llama, kinds, scores, False, rng),
        "equal scores": sentence_piece_case("llama", llama, kinds, ties, True, rng),
        "gemma": sentence_piece_case("gemma3", gemma, gemma_types, gemma_scores, False, rng),
    }


def main():
    OUT.mkdir(exist_ok=True)
    for name, made in (("byte-level", byte_level()), ("sentence-piece", sentence_piece())):
        (OUT / f"{name}.json").write_text(json.dumps(made, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(name, (OUT / f"{name}.json").stat().st_size, file=sys.stderr)


main()
