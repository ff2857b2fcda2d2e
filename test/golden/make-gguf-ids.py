"""Writes test/golden/gguf-tokenizers/real-ids.json: ids of varied texts by transformers' tokenizers of two real GGUF files.

    pip install transformers==5.24.0 gguf && python test/golden/make-gguf-ids.py SMOLLM2.gguf GEMMA3.gguf   (from the root)

SmolLM2's file names the pre-tokenizer `smollm`, of which transformers' reader knows nothing: it gets the steps of the published
tokenizer.json, digits one by one and then GPT-2's.
"""
import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import pre_tokenizers as pre
from tokenizer_kinds import FIXED, any_text
from transformers import AutoTokenizer

OUT = pathlib.Path("test/golden/gguf-tokenizers/real-ids.json")
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "Let x = 12 + 30; then x is 42, isn't it?", "3.14159265358979 1,000,000 0x1F 1e-9 007 ½ ² ٣٤ Ⅷ ①",
    "Größe, naïve façade, Ærøskøbing, Łódź, İstanbul, ǅungla", "Привет, мир! Как дела? ЁЖИК", "Γειά σου Κόσμε ΌΣΟΣ", "שלום עולם", "مرحبا بالعالم ١٢٣", "नमस्ते दुनिया हिन्दी",
    "สวัสดีชาวโลก", "안녕하세요 세계 한국어", "こんにちは世界。カタカナ 漢字", "东京都是日本的首都。中文，标点！", "ሰላም ልዑል", "Բարեւ աշխարհ", "გამარჯობა", "வணக்கம்", "ⴰⵣⵓⵍ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒜𝓁𝓁 𐍈𐌰",
    "😀 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇯🇵 ❤️ 1️⃣ 🏳️‍🌈 🫠", "def f(x):\n    return x ** 2\n\n\nclass A(B):\n\tpass\n", "for (let i = 0; i < n; i++) {\n\tconsole.log(`${i}`);\n}\n", "#include <stdio.h>\r\nint main(void) { return 0; }\r\n",
    "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%';", '<div class="a">&nbsp;<b>bold</b></div>', "\\frac{a}{b} = \\boxed{42} $\\sum_{i=1}^n i$", '{"k": [1, 2.5, null, true], "s": "\\u00e9"}', "https://example.org/a?b=c&d=e#f user@example.org C:\\dir\\file.txt",
    "I'm don't WE'LL they've she'd 'tis o'clock l'homme d’accord It'S 'RE", " leading", "  two", "trailing ", "trailing  ", "a  b   c    d     e", "\t\ttabs\tand \t mixed", "line\n\nline\n\n\nline\n\n\n\n\nline", "\r\n\r\n \r\n\n\r", " \n \n  \n",
    *(" " * n + "x" for n in (3, 7, 15, 30, 31)), *("\n" * n + "x" for n in (4, 31, 40)), *("\t" * n for n in (2, 9, 40)), "\u00a0\u2003\u3000\u0085\u2028 spaces", "\ufeffbom\u200bzero\u200dwidth\u00adsoft", "a\x00b\x01c\x1b[0m\x7f",
    unicodedata.normalize("NFD", "Größe café Ångström 한국어 が ệ"), unicodedata.normalize("NFC", "Größe café Ångström 한국어 が ệ"), "e\u0301\u0302\u0303 \u0301alone", "ﬁ ﬂ ㎏ ① Ⅳ ½", "a" * 300, "ab" * 200, "abcdefghijklmnopqrstuvwxyz" * 12, "0" * 60, "1234567890" * 9,
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen", "pneumonoultramicroscopicsilicovolcanoconiosis", "!!!???...---===***///\\\\\\###@@@~~~```", "“quotes” ‘single’ «guillemets» — dash – en … ellipsis",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n", "<|endoftext|>x<|endoftext|><|endoftext|>", "<bos><eos><pad><unk>", "<|im_start|", "<|im_start|><|im_start", " <|im_end|> ", "<unused5> <unused99>", "<s>a</s> <h1>t</h1> <0x41> <0x0A>",
    "x<end_of_turn>y <start_of_turn>z", "<repo_name>a<file_sep>b<reponame>", "[multimodal] <start_of_image>",
]
CHATS = [
    [{"role": "user", "content": "What is 12 + 30?"}],
    [{"role": "system", "content": "Be brief.\n\nVery."}, {"role": "user", "content": "  Größe? 😀 "}, {"role": "assistant", "content": "Ja.\n"}, {"role": "user", "content": "Why <|im_end|>?"}],
]


def main(smollm2, gemma3):
    rng = random.Random(2)
    texts = TEXTS + FIXED + [any_text(rng) for _ in range(160)]
    made = {}
    for name, path in (("smollm2", pathlib.Path(smollm2)), ("gemma3", pathlib.Path(gemma3))):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        if name == "smollm2":
            tokenizer.backend_tokenizer.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
        ids = [tokenizer(t)["input_ids"] for t in texts]
        bos = "<bos>" if name == "gemma3" else ""
        # most texts decode to themselves; a U+2581 does not
        made[name] = dict(ids=ids, changed={i: tokenizer.decode(one) for i, one in enumerate(ids) if tokenizer.decode(one) != bos + texts[i]})
        if tokenizer.chat_template:
            made[name]["chats"] = [[c, tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True), tokenizer.apply_chat_template(c, add_generation_prompt=True)["input_ids"]] for c in CHATS]
    OUT.write_text(json.dumps(dict(texts=texts, **made), ensure_ascii=True, separators=(",", ":")) + "\n")
    print(len(texts), OUT.stat().st_size, file=sys.stderr)


main(*sys.argv[1:])
