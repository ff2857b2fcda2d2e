"""Greedy accuracy of attention policies in PyTorch, batched: what the bundled model can do, independent of the engine.

  python training/evaluate.py                                       # full attention at 1024, 2048, 4096; one GPU
  python training/evaluate.py --problems 48 --row 1024,lim,256,2+7 --row 2048,quest,256

A row is LENGTH,POLICY,BUDGET,SELECTION LAYERS. Policies: full, lim (LessIsMore), lim-nowin (without recency window), tidal
(TidalDecode), tidalwin (with sinks and window), quest, window (sinks and window only). The script masks instead of
gathering: it measures accuracy, not speed. Sinks count towards the top-k share here, in the engine towards the recency
share. Each row is one JSON object on standard output.
"""

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass

import torch
from tokenizers import Tokenizer

from data import LONGEST_GRAPH, encode
from model import attend_causally, join_heads, load_model
from tasks import BUDGET_PER_TOKEN, TASKS, chat

DENSE_LAYERS = 2  # before the first sparse layer
CHECK_EVERY = 32  # steps between checks for finished sequences; each check waits for the GPU
WIDTH_STEP = 256  # the width of attention is a multiple of this
SPARE_TOKENS = 300  # room for chains of thought that go astray
MINUS_INFINITY = float("-inf")


@dataclass(frozen=True)
class Policy:
    name: str = "full"
    budget: int = 0
    selection_layers: tuple = (2, 5)
    recency_share: float = 0.25
    sinks: int = 4
    page_size: int = 16


# Selection. Scores are [batch, query heads, width], scaled, minus infinity past a sequence's end. Masks are true for
# positions that a head may attend to. `lengths` includes the token being decoded.


def marked(like, indices):
    return torch.zeros_like(like, dtype=torch.bool).scatter_(-1, indices, True)


def kept_mask(policy, valid, lengths, recent):
    """The always-kept tokens: sinks and the `recent` last ones."""
    positions = torch.arange(valid.shape[-1], device=valid.device)
    return valid & ((positions < policy.sinks) | (positions >= lengths - recent))


def quest_mask(policy, q, keys, valid, last_positions):
    """The pages with the highest upper bounds per query head, and always the page being written."""
    batch, kv_heads, width, head_dim = keys.shape
    heads, pages = q.shape[1] * q.shape[2], width // policy.page_size
    paged = keys.reshape(batch, kv_heads, pages, policy.page_size, head_dim)
    unused = ~valid.view(batch, 1, pages, policy.page_size, 1)
    low = paged.masked_fill(unused, 1e4).amin(3).float()[:, :, None]
    high = paged.masked_fill(unused, -1e4).amax(3).float()[:, :, None]
    q = q.view(batch, kv_heads, -1, 1, head_dim).float()
    bounds = torch.maximum(q * low, q * high).sum(-1).view(batch, heads, pages)
    bounds = bounds.masked_fill(~valid[:, :, :: policy.page_size], MINUS_INFINITY)
    is_last = torch.arange(pages, device=q.device)[None, None] == (last_positions // policy.page_size)[:, None, None]
    bounds = bounds.masked_fill(is_last, float("inf"))
    best = bounds.topk(min(policy.budget // policy.page_size, pages), -1).indices
    return marked(bounds, best).repeat_interleave(policy.page_size, -1) & valid


def select_mask(policy, scores, valid, lengths):
    """The mask of the reuse layers that follow a selection layer."""
    width = scores.shape[-1]
    if policy.name == "tidal":
        return marked(scores, scores.topk(min(policy.budget, width), -1).indices) & valid
    recent = 0 if policy.name == "lim-nowin" else int(policy.budget * policy.recency_share)
    kept = kept_mask(policy, valid, lengths, recent)
    count = min(policy.budget - recent - policy.sinks, width)
    ranked = scores.masked_fill(kept, MINUS_INFINITY).topk(count, -1).indices
    if policy.name == "tidalwin":
        return marked(scores, ranked) & valid | kept
    return merge_by_rank(ranked, width, count)[:, None] & valid | kept


def merge_by_rank(ranked, width, count):
    """Merges the heads' rankings to one set of `count` tokens: by rank, then by head, keeping first occurrences."""
    batch, heads, ranks = ranked.shape
    device = ranked.device
    order = torch.arange(ranks, device=device)[None, None] * heads + torch.arange(heads, device=device)[None, :, None]
    first_seen = torch.full((batch, width), 1 << 30, device=device, dtype=torch.long)
    first_seen.scatter_reduce_(1, ranked.reshape(batch, -1), order.expand_as(ranked).reshape(batch, -1), "amin")
    return marked(first_seen, first_seen.topk(count, -1, largest=False).indices)


# Generation


class Cache:
    def __init__(self, model, batch, length):
        sizes, weight = model.shape, model.embed.weight
        shape = (sizes.num_layers, batch, sizes.num_kv_heads, length, sizes.head_dim)
        self.keys = torch.zeros(shape, device=weight.device, dtype=weight.dtype)
        self.values = torch.zeros_like(self.keys)


def prefill(model, cache, prompts, cos, sin):
    """Fills the cache prompt by prompt with dense attention; returns the first token of each."""
    first = []
    for row, prompt in enumerate(prompts):
        x, length = model.embed(torch.tensor([prompt], device=cos.device)), len(prompt)
        for i, layer in enumerate(model.layers):
            q, k, v = layer.attention_input(x, cos[:length], sin[:length])
            cache.keys[i, row, :, :length], cache.values[i, row, :, :length] = k[0], v[0]
            x = layer.after_attention(x, join_heads(attend_causally(q, k, v)))
        first.append(model.logits(model.norm(x[0, -1])).argmax())
    return torch.stack(first)


def decode_step(model, cache, policy, last, positions, width, cos, sin):
    """Decodes one token of each sequence; writes its keys and values at its position."""
    batch, shape, device = last.shape[0], model.shape, last.device
    rows = torch.arange(batch, device=device)
    valid = (torch.arange(width, device=device)[None] <= positions[:, None])[:, None]
    lengths = positions[:, None, None] + 1
    x, selected = model.embed(last[:, None]), None
    for i, layer in enumerate(model.layers):
        q, k, v = layer.attention_input(x, cos[positions][:, None, None], sin[positions][:, None, None])
        cache.keys[i, rows, :, positions], cache.values[i, rows, :, positions] = k[:, :, 0], v[:, :, 0]
        keys, values = cache.keys[i, :, :, :width], cache.values[i, :, :, :width]
        q = q.view(batch, shape.num_kv_heads, shape.group_size, shape.head_dim)
        scores = (q @ keys.transpose(-1, -2)).view(batch, shape.num_query_heads, width).float()
        scores = (scores * shape.head_dim**-0.5).masked_fill(~valid, MINUS_INFINITY)
        mask = None
        if policy.name == "full" or i < DENSE_LAYERS:
            pass
        elif policy.name == "window":
            mask = kept_mask(policy, valid, lengths, policy.budget - policy.sinks)
        elif policy.name == "quest":
            mask = quest_mask(policy, q, keys, valid, positions)
        elif i in policy.selection_layers:  # a selection layer attends to everything
            selected = select_mask(policy, scores, valid, lengths)
        else:
            mask = selected
        if mask is not None:
            scores = scores.masked_fill(~mask, MINUS_INFINITY)
        weights = scores.softmax(-1).to(values.dtype).view(batch, shape.num_kv_heads, shape.group_size, width)
        x = layer.after_attention(x, (weights @ values).view(batch, 1, -1))
    return model.logits(model.norm(x[:, 0])).argmax(-1)


@torch.no_grad()
def generate(model, prompts, max_length, policy, eos):
    """Returns the greedy continuations without the end-of-sequence token."""
    device = model.embed.weight.device
    cos, sin = model.rope(max_length + 1, device, model.embed.weight.dtype)
    cache = Cache(model, len(prompts), max_length)
    last = prefill(model, cache, prompts, cos, sin)
    positions = torch.tensor([len(prompt) for prompt in prompts], device=device)
    done, tokens, step, width = last == eos, [last], 0, 0
    while True:
        if step % CHECK_EVERY == 0:
            longest = int(positions.max())
            if bool(done.all()) or longest >= max_length - CHECK_EVERY - 1:
                break
            width = min(max_length, -(-(longest + CHECK_EVERY + 1) // WIDTH_STEP) * WIDTH_STEP)
        sampled = decode_step(model, cache, policy, last, positions, width, cos, sin)
        positions = positions + 1
        last = torch.where(done, torch.full_like(sampled, eos), sampled)
        done = done | (last == eos)
        tokens.append(last)
        step += 1
    rows = torch.stack(tokens, 1).tolist()
    return [row[: row.index(eos)] if eos in row else row for row in rows]


# Problems


def problems(tokenizer, task, total_tokens, count, seed=99):
    """Returns (prompt ids, answer, tokens of the reasoning); prompt and reasoning stay below `total_tokens`."""
    rng, found = random.Random(seed * 1000 + total_tokens), []
    while len(found) < count:
        problem, reasoning, answer = TASKS[task](rng, int(total_tokens * BUDGET_PER_TOKEN[task] * 0.8))
        prompt, completion = (encode(tokenizer, text) for text in chat(problem, reasoning, answer))
        if len(prompt) + len(completion) < total_tokens:
            found.append((prompt, answer, len(completion)))
    return found


def accuracy(model, tokenizer, task, total_tokens, policy, count):
    """Returns the share of right answers, the mean of tokens generated, and that of the right reasoning."""
    eos = tokenizer.token_to_id("<|im_end|>")
    drawn = problems(tokenizer, task, total_tokens, count)
    outputs = generate(model, [prompt for prompt, _, _ in drawn], total_tokens + SPARE_TOKENS, policy, eos)
    right = sum(f"\\boxed{{{answer}}}" in tokenizer.decode(ids) for (_, answer, _), ids in zip(drawn, outputs))
    return {
        "accuracy": round(right / count, 4),
        "meanTokens": round(sum(map(len, outputs)) / count),
        "meanRightTokens": round(sum(length for _, _, length in drawn) / count),
    }


def parse_row(text):
    length, name, budget, layers, *_ = [*text.split(","), "0", ""][:4]
    selection = tuple(int(layer) for layer in layers.split("+")) if layers else (2, 5)
    return int(length), Policy(name, int(budget), selection)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Measures greedy accuracy in PyTorch.")
    parser.add_argument("--model", default="models/pico-reasoner", help="checkpoint folder")
    parser.add_argument("--problems", type=int, default=48, help="per task and row")
    parser.add_argument("--row", type=parse_row, action="append", help="LENGTH,POLICY,BUDGET,LAYERS")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(options.model, device, torch.bfloat16 if device == "cuda" else torch.float32)
    tokenizer = Tokenizer.from_file(f"{options.model}/tokenizer.json")
    for length, policy in options.row or [(length, Policy()) for length in (1024, 2048, 4096)]:
        start = time.time()
        tasks = [task for task in options.tasks if task != "graph" or length <= LONGEST_GRAPH]
        row = {task: accuracy(model, tokenizer, task, length, policy, options.problems) for task in tasks}
        report = {"length": length, "policy": asdict(policy), "problems": options.problems, "tasks": row}
        print(json.dumps({**report, "seconds": round(time.time() - start, 1)}), flush=True)


if __name__ == "__main__":
    main()
