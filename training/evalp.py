"""Greedy accuracy of attention policies in PyTorch, batched, bf16, on a GPU.

Environment: CK, the checkpoint folder; N, problems a task (64); SECS, seconds after which no row starts (240); PLAN, a
JSON list of rows [total tokens, policy, budget, selection layers], e.g. [[1024, "lim", 256, [2, 5]]].
Policies: full, lim (LessIsMore), lim-nowin (without recency window), tidal (TidalDecode), tidalwin (with sinks and
window), quest, window (sinks and window only). The script masks instead of gathering: it measures accuracy, not speed.
"""

import json
import os
import random
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

import train
from tasks import BUDGET_PER_TOKEN, TASKS, chat

DEVICE = "cuda"
GROUP_SIZE = train.NUM_QUERY_HEADS // train.NUM_KV_HEADS
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


def load_model():
    tensors = load_file(f"{train.FOLDER}/model.safetensors")
    model = train.LanguageModel()
    for name, weight in train.checkpoint_tensors(model).items():
        weight.data.copy_(tensors[name].float())
    return model.to(DEVICE).bfloat16().eval()


# Selection. Scores are [batch, query heads, width], scaled, minus infinity past a sequence's end. Masks are true for
# positions that a head may attend to. `lengths` includes the token being decoded.


def marked(like, indices):
    return torch.zeros_like(like, dtype=torch.bool).scatter_(-1, indices, True)


def kept_mask(policy, valid, lengths, recent):
    """The always-kept tokens: sinks and the `recent` last ones."""
    positions = torch.arange(valid.shape[-1], device=DEVICE)
    return valid & ((positions < policy.sinks) | (positions >= lengths - recent))


def quest_mask(policy, q, keys, valid, last_positions):
    """The pages with the highest upper bounds per query head, and always the page being written."""
    batch, _, width, _ = keys.shape
    pages = width // policy.page_size
    paged = keys.reshape(batch, train.NUM_KV_HEADS, pages, policy.page_size, train.HEAD_DIM)
    unused = ~valid.view(batch, 1, pages, policy.page_size, 1)
    low = paged.masked_fill(unused, 1e4).amin(3).float()[:, :, None]
    high = paged.masked_fill(unused, -1e4).amax(3).float()[:, :, None]
    q = q.view(batch, train.NUM_KV_HEADS, GROUP_SIZE, 1, train.HEAD_DIM).float()
    bounds = torch.maximum(q * low, q * high).sum(-1).view(batch, train.NUM_QUERY_HEADS, pages)
    bounds = bounds.masked_fill(~valid[:, :, :: policy.page_size], MINUS_INFINITY)
    is_last = torch.arange(pages, device=DEVICE)[None, None] == (last_positions // policy.page_size)[:, None, None]
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
    order = torch.arange(ranks, device=DEVICE)[None, None] * heads + torch.arange(heads, device=DEVICE)[None, :, None]
    first_seen = torch.full((batch, width), 1 << 30, device=DEVICE, dtype=torch.long)
    first_seen.scatter_reduce_(1, ranked.reshape(batch, -1), order.expand_as(ranked).reshape(batch, -1), "amin")
    return marked(first_seen, first_seen.topk(count, -1, largest=False).indices)


# Generation


class Cache:
    def __init__(self, batch, length):
        shape = (train.NUM_LAYERS, batch, train.NUM_KV_HEADS, length, train.HEAD_DIM)
        self.keys = torch.zeros(shape, device=DEVICE, dtype=torch.bfloat16)
        self.values = torch.zeros_like(self.keys)


def prefill(model, cache, prompts, cos, sin):
    """Fills the cache prompt by prompt with dense attention; returns the first token of each."""
    first = []
    for row, prompt in enumerate(prompts):
        x, length = model.embed(torch.tensor([prompt], device=DEVICE)).bfloat16(), len(prompt)
        for i, layer in enumerate(model.layers):
            q, k, v = layer.attention_input(x, cos[:length], sin[:length])
            cache.keys[i, row, :, :length], cache.values[i, row, :, :length] = k[0], v[0]
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = layer.after_attention(x, attended.transpose(1, 2).reshape(1, length, -1))
        first.append((model.norm(x[0, -1]) @ model.embed.weight.T).argmax())
    return torch.stack(first)


def decode_step(model, cache, policy, last, positions, width, cos, sin):
    """Decodes one token of each sequence; writes its keys and values at its position."""
    batch = last.shape[0]
    rows = torch.arange(batch, device=DEVICE)
    valid = (torch.arange(width, device=DEVICE)[None] <= positions[:, None])[:, None]
    lengths = positions[:, None, None] + 1
    x, selected = model.embed(last[:, None]), None
    for i, layer in enumerate(model.layers):
        q, k, v = layer.attention_input(x, cos[positions][:, None, None], sin[positions][:, None, None])
        cache.keys[i, rows, :, positions], cache.values[i, rows, :, positions] = k[:, :, 0], v[:, :, 0]
        keys, values = cache.keys[i, :, :, :width], cache.values[i, :, :, :width]
        q = q.view(batch, train.NUM_KV_HEADS, GROUP_SIZE, train.HEAD_DIM)
        scores = (q @ keys.transpose(-1, -2)).view(batch, train.NUM_QUERY_HEADS, width).float()
        scores = (scores * train.HEAD_DIM**-0.5).masked_fill(~valid, MINUS_INFINITY)
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
        weights = scores.softmax(-1).bfloat16().view(batch, train.NUM_KV_HEADS, GROUP_SIZE, width)
        x = layer.after_attention(x, (weights @ values).view(batch, 1, -1))
    return (model.norm(x[:, 0]) @ model.embed.weight.T).argmax(-1)


@torch.no_grad()
def generate(model, prompts, max_length, policy, eos):
    """Returns the greedy continuations without the end-of-sequence token."""
    cos, sin = (table.bfloat16() for table in train.rope_tables(max_length + 1, DEVICE))
    cache = Cache(len(prompts), max_length)
    last = prefill(model, cache, prompts, cos, sin)
    positions = torch.tensor([len(prompt) for prompt in prompts], device=DEVICE)
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
        prompt, completion = (train.encode(tokenizer, text) for text in chat(problem, reasoning, answer))
        if len(prompt) + len(completion) < total_tokens:
            found.append((prompt, answer, len(completion)))
    return found


def accuracy(model, tokenizer, task, total_tokens, policy, count):
    """Returns [correct in %, mean tokens generated, mean tokens of the correct reasoning]."""
    eos = tokenizer.token_to_id("<|im_end|>")
    drawn = problems(tokenizer, task, total_tokens, count)
    outputs = generate(model, [prompt for prompt, _, _ in drawn], total_tokens + SPARE_TOKENS, policy, eos)
    right = sum(f"\\boxed{{{answer}}}" in tokenizer.decode(ids) for (_, answer, _), ids in zip(drawn, outputs))
    mean_length = sum(map(len, outputs)) / count
    return [round(100 * right / count, 1), round(mean_length), round(sum(n for _, _, n in drawn) / count)]


def main():
    count, seconds = int(os.environ.get("N", 64)), float(os.environ.get("SECS", 240))
    default_plan = [[length, "full", 0] for length in (1024, 2048, 4096)]
    plan = json.loads(os.environ["PLAN"]) if "PLAN" in os.environ else default_plan
    tokenizer, model = Tokenizer.from_file(f"{train.FOLDER}/tokenizer.json"), load_model()
    deadline = time.time() + seconds
    for total_tokens, name, budget, *layers in plan:
        policy = Policy(name, budget, tuple(layers[0]) if layers else (2, 5))
        start, row = time.time(), {}
        for task in TASKS:
            if task != "graph" or total_tokens <= train.LONGEST_GRAPH:
                row[task] = accuracy(model, tokenizer, task, total_tokens, policy, count)
        print(total_tokens, policy, row, f"{time.time() - start:.0f} s", flush=True)
        if time.time() > deadline:
            break


if __name__ == "__main__":
    main()
