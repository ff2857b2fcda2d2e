"""Writes test/golden/tokenizer-kinds/*.json: results of Python `tokenizers` 0.23 for each kind of tokenizer.

    pip install tokenizers==0.23.3 && python test/golden/make-tokenizer-kinds.py   (from the root)

encodings: [text, ids, ids without special tokens]; decodings: [ids, text, text without special tokens].
"""
import json
import pathlib
import random
import sys

from tokenizer_kinds import FIXED, KINDS, any_text

OUT = pathlib.Path("test/golden/tokenizer-kinds")
TEXTS = 170


def runs_of_ids(tokenizer, rng, size):
    """Draws random ids, with bytes and byte letters more often: they form unfinished characters."""
    vocabulary = tokenizer.get_vocab()
    bytes_ = [i for k, i in vocabulary.items() if k.startswith("<0x")] or [i for k, i in vocabulary.items() if len(k) == 1 and ord(k) > 0x7F]
    for _ in range(TEXTS):
        run = [rng.randrange(size + 3) for _ in range(rng.randrange(1, 14))]
        if bytes_ and rng.random() < 0.6:
            run = [rng.choice(bytes_) if rng.random() < 0.8 else one for one in run]
        yield run


def main():
    OUT.mkdir(exist_ok=True)
    for name, make in KINDS.items():
        rng = random.Random(name)
        tokenizer = make()
        texts = FIXED + [any_text(rng) for _ in range(TEXTS)]
        encodings = [[t, tokenizer.encode(t).ids, tokenizer.encode(t, add_special_tokens=False).ids] for t in texts]
        runs = [ids for _, ids, _ in encodings] + list(runs_of_ids(tokenizer, rng, tokenizer.get_vocab_size()))
        decodings = [[r, tokenizer.decode(r, skip_special_tokens=False), tokenizer.decode(r)] for r in runs]
        golden = dict(tokenizer=json.loads(tokenizer.to_str()), encodings=encodings, decodings=decodings)
        (OUT / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(name, tokenizer.get_vocab_size(), file=sys.stderr)


main()
