"""The tokenizer of the bundled model: byte-level BPE over the tasks, a digit a token, and Qwen's special tokens.

  python training/tokenizer.py tokenizer.json      # about 3 seconds
"""

import argparse
import random

from tasks import TASKS, chat

VOCAB_SIZE = 512
NUM_DOCUMENTS, DOCUMENT_SEED = 3000, 7
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
#: Qwen's pattern: words, single digits, signs, white space.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PROSE = (
    "Please reason step by step, and put your final answer within \\boxed{}. You are a helpful assistant that thinks "
    "before it answers. What is the value of the variable after the program has run? system user assistant hello thanks"
)


def documents():
    """Texts of the tasks without special tokens, then a paragraph of prompt phrases, often enough to become tokens."""
    rng = random.Random(DOCUMENT_SEED)
    for _ in range(NUM_DOCUMENTS):
        task = rng.choice(list(TASKS))
        text = "".join(chat(*TASKS[task](rng, rng.choice([512, 1024, 2048]))))
        for special in SPECIAL_TOKENS:
            text = text.replace(special, "")
        yield text
    yield from [PROSE] * 400


def train_tokenizer():
    """Returns the same tokenizer each time."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(documents()), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    return tokenizer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Trains the tokenizer.")
    parser.add_argument("path", help="tokenizer.json to write")
    train_tokenizer().save(parser.parse_args().path)
