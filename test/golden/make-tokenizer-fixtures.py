"""Writes test/golden/tokenizers/*.json: small tokenizers of the kinds in use, with results of Python `tokenizers`.

    pip install tokenizers && python test/golden/make-tokenizer-fixtures.py models/pico-reasoner test/golden/tokenizers
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PICO, OUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
CORPUS = [
    "The answer is \\boxed{15}. Let us think step by step: 12+7=19, so x is 19.",
    "def add(a, b):\n    return a + b\n\n\n# I'm sure we'll see that they've done it. DON'T!\r\n",
    "Größe, naïve, façade, cafe\u0301, 東京都は日本の首都です。 Привет, мир! 👩‍👩‍👧‍👦🙂 \u00a0\u2009 1234567890 3.14159",
    "  leading and   inner  spaces \t tabs\n \n  trailing   ",
]
TEXTS = CORPUS + [
    "", " ", "\n", "a", "hello world . , ! ? n't 'm 's", " do not , clean this up !", "<|im_start|>user\nhi<|im_end|>\n",
    "<think>\nq=1+2\n</think>\nx", "x <|im_end|> y", "😀", "\u0000\u0001\u007f", "a\u0300e\u0301 ﬁ Å", "½ ² ①  ", "www.x.y/z?a=1&b=2",
    "\ufeffbom", "ΑΒΓ αβγ", "हिन्दी", "مرحبا", "한국어", "'LL 'Re I'D", "007 00 0 12 123 1234 12345", "tab\tnew\nret\rcrlf\r\n\r\nend", "\ud7ff\ue000\uffff",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")


def byte_level(pattern, normalizer=None, template=False):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<think>", "</think>")])
    if template:
        bos = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos]),
        ])
    return tokenizer


def sentence_piece():
    """Llama 2's kind: spaces become U+2581, unknown characters become bytes <0x..>, and a BOS precedes the text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])
    first = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=first, limit_alphabet=90, show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    values = json.loads(tokenizer.to_str())
    values["added_tokens"] = values["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(values))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write(name, tokenizer, keep=True):
    rng = random.Random(7)
    vocab = tokenizer.get_vocab_size()
    encodings = [
        dict(text=t, ids=tokenizer.encode(t).ids, plainIds=tokenizer.encode(t, add_special_tokens=False).ids) for t in TEXTS
    ]
    runs = [e["ids"] for e in encodings] + [[rng.randrange(vocab) for _ in range(rng.randrange(1, 12))] for _ in range(150)]
    runs += [[i] for i in range(vocab)] + [[vocab + 5], [vocab + 5, 40, 41], [40, vocab + 5]]
    decodings = [
        dict(ids=r, text=tokenizer.decode(r, skip_special_tokens=False), plainText=tokenizer.decode(r)) for r in runs
    ]
    out = dict(encodings=encodings, decodings=decodings)
    if keep:
        out["tokenizer"] = json.loads(tokenizer.to_str())
    (OUT / f"{name}.json").write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(name, vocab)


OUT.mkdir(exist_ok=True)
write("pico-reasoner", Tokenizer.from_file(str(PICO / "tokenizer.json")), keep=False)
write("qwen-kind", byte_level(QWEN, normalizer=normalizers.NFC()))
write("llama3-kind", byte_level(LLAMA3, template=True))
write("sentence-piece-kind", sentence_piece())
