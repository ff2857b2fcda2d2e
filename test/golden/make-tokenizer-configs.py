"""Writes test/golden/tokenizer-configs.json: results of transformers for a tokenizer.json with a tokenizer_config.json.

    pip install transformers==5.24 && python test/golden/make-tokenizer-configs.py   (from the root)

The tokenizers come from test/golden/tokenizer-kinds; clean-up, special tokens, added tokens, BOS and EOS from the config.
encodings: [text, ids without special tokens, ids].
"""
import json
import pathlib
import tempfile

import transformers

transformers.logging.set_verbosity_error()
KINDS = pathlib.Path("test/golden/tokenizer-kinds")
TEXTS = [
    "a </think>b<|pad|> <|new|>x of  <x>  y<|im_end|>  z<img> <think>[UNK]",
    "echo 'some text' !== b , it 's do not n't I 'm . ! ? 've",
    "<s>a</s> b .",
]
ADDED = {
    "900": {"content": "<x>", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False, "special": False},
    "421": {"content": "<|im_end|>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True},
}
CLEAN = {"clean_up_tokenization_spaces": True}
INSISTS = {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True}
CONFIGS = [
    ("llama3", {"bos_token": "<|endoftext|>", "eos_token": "</think>", "pad_token": "<|pad|>", "extra_special_tokens": ["<|new|>", " of"], **CLEAN}),
    ("qwen", {"added_tokens_decoder": ADDED, "additional_special_tokens": ["<think>"], "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": False, "normalized": False, "rstrip": True, "single_word": False}, "image_token": "<img>"}),
    ("qwen", {"added_tokens_decoder": ADDED, "eos_token": "<think>"}),
    ("qwen", {"extra_special_tokens": {"image_token": "<img>", "think_token": "<think>"}}),
    ("word-piece", {"unk_token": "[UNK]", **CLEAN}),
    ("word-piece", {"unk_token": "[UNK]"}),
    ("unigram", {"unk_token": "<unk>", **CLEAN}),
    ("llama2", {"bos_token": "<s>", "unk_token": "<unk>", "eos_token": "</s>", "add_bos_token": True, **CLEAN}),
    ("gpt2", {**CLEAN}),
    ("gpt2", {**CLEAN, **INSISTS}),
    ("llama3", {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "add_bos_token": True, "add_eos_token": True}),
    ("llama3", {"bos_token": "<|im_start|>", "add_eos_token": False}),
    ("llama3", {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}),
    ("qwen", {"add_bos_token": True, "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}, "add_eos_token": True}),
    ("qwen", {"bos_token": "<|new|>", "add_bos_token": True}),
    ("llama2", {"bos_token": "<s>", "unk_token": "<unk>", "eos_token": "</s>", "add_bos_token": False, "add_eos_token": True}),
    ("llama2", {"bos_token": "<s>", "add_bos_token": None}),
]
out = []
for kind, config in CONFIGS:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = json.loads((KINDS / f"{kind}.json").read_text())["tokenizer"]
        files = {"tokenizer.json": tokenizer, "tokenizer_config.json": {**config, "tokenizer_class": "PreTrainedTokenizerFast"}, "config.json": {"model_type": "none"}}
        for name, value in files.items():
            pathlib.Path(folder, name).write_text(json.dumps(value))
        made = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [made.encode(text, add_special_tokens=False) for text in TEXTS]
    whole = [made.encode(text) for text in TEXTS]
    runs = ids + [[i, i + 1, 5, i + 7, 30, i] for i in range(3, 200, 7)]
    decodings = [[r, made.decode(r, skip_special_tokens=False), made.decode(r, skip_special_tokens=True)] for r in runs]
    out.append(dict(kind=kind, config=config, encodings=[*map(list, zip(TEXTS, ids, whole))], decodings=decodings))
pathlib.Path("test/golden/tokenizer-configs.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
