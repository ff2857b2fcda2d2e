"""Training examples: documents of the tasks as padded rows of token ids, made by worker processes or in place."""

import multiprocessing
import os
import random
from dataclasses import dataclass

import numpy

from tasks import BUDGET_PER_TOKEN, TASKS, chat

LONGEST_GRAPH = 4096
SHORTEST_SHARE = 0.55  # of the row that a document fills at least, before its length is known exactly


@dataclass(frozen=True)
class Rows:
    """Documents of one batch. `ids` is [rows, length + 1]; row i has a prompt of `prompts[i]` of its `ends[i]` tokens."""

    length: int
    ids: numpy.ndarray
    prompts: numpy.ndarray
    ends: numpy.ndarray


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def draw_document(rng, length):
    """Returns a prompt and its completion of slightly less than `length` tokens together; it can be longer."""
    names = [name for name in TASKS if name != "graph" or length <= LONGEST_GRAPH]
    task = rng.choice(names)
    return chat(*TASKS[task](rng, int(length * BUDGET_PER_TOKEN[task] * rng.uniform(SHORTEST_SHARE, 1.0))))


def make_rows(rng, tokenizer, length, count):
    """Draws `count` documents that fit `length` + 1 tokens: `length` inputs and, one further, their targets."""
    ids = numpy.zeros((count, length + 1), numpy.int16)
    prompts, ends = numpy.zeros(count, numpy.int64), numpy.zeros(count, numpy.int64)
    row = 0
    while row < count:
        prompt, completion = (encode(tokenizer, text) for text in draw_document(rng, length))
        end = len(prompt) + len(completion)
        if end > length + 1:
            continue
        ids[row, :end] = prompt + completion
        prompts[row], ends[row] = len(prompt), end
        row += 1
    return Rows(length, ids, prompts, ends)


def join(parts):
    return Rows(
        parts[0].length,
        numpy.concatenate([part.ids for part in parts]),
        numpy.concatenate([part.prompts for part in parts]),
        numpy.concatenate([part.ends for part in parts]),
    )


def _work(seed, tokenizer_file, queue, lengths, shares, tokens):
    """Puts shards of `tokens` tokens on the queue for ever."""
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer, rng = Tokenizer.from_file(tokenizer_file), random.Random(seed)
    while True:
        length = rng.choices(lengths, list(shares))[0]
        queue.put(make_rows(rng, tokenizer, length, max(1, tokens // length)))


class Batches:
    """Batches of one length each, of `tokens` tokens, from worker processes; without workers, made on demand.

    The order in which shards arrive depends on the machine, so a second run with workers sees the same kind of
    batches, not the same ones. Without workers the seed fixes them.
    """

    TOKENS_PER_SHARD = 1 << 15

    def __init__(self, tokenizer_file, lengths, tokens, workers, seed):
        from tokenizers import Tokenizer

        self.lengths, self.tokens, self.workers = lengths, tokens, []
        self.rng, self.tokenizer = random.Random(seed), Tokenizer.from_file(tokenizer_file)
        if workers == 0:
            return
        context = multiprocessing.get_context("spawn")
        self.shard_tokens = min(tokens, self.TOKENS_PER_SHARD)
        self.shares = context.Array("d", [1.0 / len(lengths)] * len(lengths))
        self.queue, self.shards = context.Queue(64), {length: [] for length in lengths}
        for i in range(workers):
            arguments = (seed + i, tokenizer_file, self.queue, lengths, self.shares, self.shard_tokens)
            self.workers.append(context.Process(target=_work, args=arguments, daemon=True))
            self.workers[-1].start()

    def next(self, shares):
        """Returns the next batch; `shares` weighs the lengths of documents drawn from now on."""
        if not self.workers:
            length = self.rng.choices(self.lengths, shares)[0]
            return make_rows(self.rng, self.tokenizer, length, max(1, self.tokens // length))
        self.shares[:] = shares
        while True:
            shard = self.queue.get(timeout=120)
            shards = self.shards[shard.length]
            shards.append(shard)
            if len(shards) * self.shard_tokens >= self.tokens:
                self.shards[shard.length] = []
                return join(shards)

    def close(self):
        for worker in self.workers:
            worker.kill()
        if self.workers:
            self.queue.cancel_join_thread()
