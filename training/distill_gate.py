"""Distils the SeerAttention-R gate of a model: one command, a few minutes on one GPU.

The model stays frozen and reads generated problems with full attention. The target of a query row is its attention,
the maximum over each block and over the query heads of a kv head, normalised to one; the loss is the KL divergence of
the gate's softmax from it, on the second half of each document. The block that holds the query is left out of both:
decoding always reads it. Rows are drawn at random from that half, because neighbours teach nearly the same.

Before and after, on held-out problems, it measures per token budget (as decoding does: the best blocks that the budget
holds, and the first and the last block):
  block recall   share of the blocks with the highest attention that the gate chooses;
  mass recall    share of the attention's mass on the chosen blocks, per query head;
  solved         share of documents in which each token of the completion is the most likely one if every layer attends
                 to the chosen blocks only, which is to say that greedy decoding would write the document.
The last line on standard output is one JSON object.

  python training/distill_gate.py --minutes 3
"""

import argparse
import json
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from data import Batches, make_rows
from model import attend_causally, join_heads, load_model, make_folder, read_config, rotate
from seer_gate import GateConfig, Gates, block_targets, head_targets, load_gates, save_gates

PEAK_RATE, LAST_RATE, WARM_UP_STEPS = 1e-3, 1e-5, 20
LOSS_SCALE = 10.0  # the authors'; it matters to AdamW's epsilon alone
ROWS_PER_DOCUMENT = 256
ELEMENTS_PER_CHUNK = 1 << 28  # scores of one chunk of query rows: 1 GiB in f32
HELD_OUT_SEED = 20261127
MINUS_INFINITY = float("-inf")
BUDGETS = (128, 256, 512)


# Attention by rows and blocks. `positions` [batch, rows] are those of the query rows, ascending.


def row_chunks(rows, elements_per_row, limit=ELEMENTS_PER_CHUNK):
    size = max(1, min(rows, limit // elements_per_row))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def attention_weights(q, k, positions):
    """Causal softmax weights [batch, heads, rows, tokens] in f32 of q [batch, heads, rows, headDim]."""
    batch, heads, rows, head_dim = q.shape
    kv_heads, tokens = k.shape[1], k.shape[2]
    grouped = q.reshape(batch, kv_heads, heads // kv_heads * rows, head_dim)
    scores = (grouped @ k.transpose(-1, -2)).view(batch, heads, rows, tokens).float() * head_dim**-0.5
    later = torch.arange(tokens, device=q.device) > positions[:, None, :, None]
    return scores.masked_fill_(later, MINUS_INFINITY).softmax(-1)


def block_weights(weights, kv_heads, block_size):
    """Target rows [batch, kvHeads, rows, blocks] of weights [batch, heads, rows, tokens]."""
    return head_targets(block_targets(weights, block_size), kv_heads)


def finished_blocks(positions, blocks, block_size):
    """[batch, 1, rows, blocks]: the blocks before the one that holds the query."""
    return torch.arange(blocks, device=positions.device) < (positions // block_size)[:, None, :, None]


def choose_blocks(scores, positions, budget, block_size):
    """Boolean [batch, kvHeads, rows, blocks]: the best blocks that the budget holds, the first, and the query's own."""
    blocks = torch.arange(scores.shape[-1], device=scores.device)
    own = (positions // block_size)[:, None, :, None]
    ranked = scores.masked_fill(blocks > own, MINUS_INFINITY)
    best = ranked.topk(min(budget // block_size, len(blocks)), -1).indices
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, best, True)
    return (chosen | (blocks == 0) | (blocks == own)) & (blocks <= own)


def gate_scores(gate, q_plain, k_plain, positions):
    """The gate's scores [batch, kvHeads, rows, blocks] at rows `positions` of q and k [batch, heads, tokens, headDim].

    The block of the query has the score 0 until it is whole, as in decoding.
    """
    rows = torch.arange(q_plain.shape[2], device=q_plain.device)
    queries = gate.queries(q_plain.transpose(1, 2).float(), rows)
    queries = take_rows(queries.transpose(1, 2), positions).transpose(1, 2)
    scores = gate.scores(queries, gate.block_keys(k_plain.transpose(1, 2).float()))
    size = gate.config.block_size
    is_own = torch.arange(scores.shape[-1], device=scores.device) == (positions // size)[:, None, :, None]
    return scores.masked_fill(is_own & (positions % size < size - 1)[:, None, :, None], 0.0)


# Training


def pick_rows(batch, rows_per_document, generator, device):
    """Draws ascending row positions [documents, rows] of the second half of each document."""
    ends = torch.from_numpy(batch.ends - 1)
    first = (ends // 2).clamp(min=1)
    draws = torch.rand(len(ends), rows_per_document, generator=generator).sort(-1).values
    return (first[:, None] + draws * (ends - first)[:, None]).long().to(device)


def gate_loss(gate, q_plain, k_plain, q, k, positions):
    """KL divergence of the gate from the block target at rows `positions`, averaged over rows and kv heads.

    q_plain and k_plain [batch, heads, tokens, headDim] are before RoPE; q has only the rows.
    """
    kv_heads, tokens, block_size = k.shape[1], k.shape[2], gate.config.block_size
    chunks = row_chunks(q.shape[2], q.shape[0] * q.shape[1] * tokens)
    with torch.no_grad():
        targets = [
            block_weights(attention_weights(q[:, :, rows], k, positions[:, rows]), kv_heads, block_size)
            for rows in chunks
        ]
        target = torch.cat(targets, 2)
        finished = finished_blocks(positions, target.shape[-1], block_size)
        target = target.masked_fill(~finished, 0.0)
        target = target / target.sum(-1, keepdim=True).clamp(min=1e-20)
    logits = gate_scores(gate, q_plain, k_plain, positions)
    guess = logits.masked_fill(~finished, -1e20).log_softmax(-1).masked_fill(~finished, 0.0)
    return F.kl_div(guess, target, reduction="sum") / target[..., 0].numel()


def take_rows(x, positions):
    """Takes rows [batch, rows] of x [batch, heads, tokens, size]."""
    index = positions[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
    return x.gather(2, index)


def distil_step(model, gates, batch, positions, device):
    """Reads a batch layer by layer and adds the gradients of each gate; returns the mean loss of the layers."""
    ids = torch.from_numpy(batch.ids.astype("int64")).to(device)[:, :-1]
    dtype = model.embed.weight.dtype
    cos, sin = model.rope(ids.shape[1], device, dtype)
    with torch.no_grad():
        x, total = model.embed(ids), 0.0
    for layer, gate in zip(model.layers, gates.layers):
        with torch.no_grad():
            q_plain, k_plain, v = layer.heads(x)
            q, k = rotate(q_plain, cos, sin), rotate(k_plain, cos, sin)
        loss = gate_loss(gate, q_plain, k_plain, take_rows(q, positions), k, positions)
        (loss * LOSS_SCALE).backward()
        total = total + loss.detach()
        with torch.no_grad():
            x = layer.after_attention(x, join_heads(attend_causally(q, k, v)))
    return total / len(gates.layers)


def rate_at(step, progress):
    """Linear warm-up, then a cosine over the time."""
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, progress))).item())
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (LAST_RATE + (PEAK_RATE - LAST_RATE) * cosine)


def train(model, gates, options, device):
    """Trains for `--minutes`, or `--steps` if that comes first; returns what the report says of it."""
    lengths, shares = zip(*options.lengths)
    batches = Batches(f"{options.model}/tokenizer.json", list(lengths), options.tokens, options.workers, options.seed)
    optimizer = torch.optim.AdamW(gates.parameters(), lr=PEAK_RATE, weight_decay=0.0)
    generator = torch.Generator().manual_seed(options.seed)
    step, losses, first, start = 0, {}, {}, time.time()
    try:
        batches.next(list(shares))  # the first one waits for the workers to start
        start = time.time()
        while step < options.steps and (progress := (time.time() - start) / (60 * options.minutes)) < 1:
            batch = batches.next(list(shares))
            rate = rate_at(step, max(progress, step / options.steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            positions = pick_rows(batch, options.rows, generator, device)
            loss = distil_step(model, gates, batch, positions, device)
            optimizer.step()
            optimizer.zero_grad()
            losses[batch.length] = losses.get(batch.length, loss) * 0.9 + loss * 0.1
            first.setdefault(batch.length, loss)
            step += 1
            if step % options.log_every == 0:
                means = " ".join(f"{length}:{mean.item():.4f}" for length, mean in sorted(losses.items()))
                print(f"step {step}, {time.time() - start:.0f} s, rate {rate:.1e}, KL {means}", flush=True)
    finally:
        batches.close()
    as_numbers = lambda table: {length: round(float(value), 5) for length, value in sorted(table.items())}
    return {
        "steps": step,
        "seconds": round(time.time() - start, 1),
        "tokens": step * options.tokens,
        "firstLoss": as_numbers(first),
        "lastLoss": as_numbers(losses),
    }


# Measurement


@torch.no_grad()
def measure_recall(model, gates, rows, budgets, device):
    """Means over layers, kv heads and rows of held-out documents: {budget: {blockRecall, massRecall, oracleMass}}."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    positions = pick_rows(rows, 64, generator, device)
    ids = torch.from_numpy(rows.ids.astype("int64")).to(device)[:, :-1]
    cos, sin = model.rope(ids.shape[1], device, model.embed.weight.dtype)
    x, sums = model.embed(ids), {budget: torch.zeros(3, device=device) for budget in budgets}
    for layer, gate in zip(model.layers, gates.layers):
        q_plain, k_plain, v = layer.heads(x)
        q, k = rotate(q_plain, cos, sin), rotate(k_plain, cos, sin)
        logits, size = gate_scores(gate, q_plain, k_plain, positions), gate.config.block_size
        weights = attention_weights(take_rows(q, positions), k, positions)
        best = block_weights(weights, k.shape[1], size)
        batch, _, count, tokens = weights.shape
        mass = weights.view(batch, k.shape[1], -1, count, tokens // size, size).sum(-1)
        for budget in budgets:
            chosen = choose_blocks(logits, positions, budget, size)
            oracle = choose_blocks(best, positions, budget, size)
            recall = (chosen & oracle).sum(-1).float() / oracle.sum(-1)
            kept = [(mass * sets[:, :, None]).sum(-1).mean() for sets in (chosen, oracle)]
            sums[budget] += torch.stack([recall.mean(), *kept])
        x = layer.after_attention(x, join_heads(attend_causally(q, k, v)))
    names = ("blockRecall", "massRecall", "oracleMassRecall")
    return {
        budget: dict(zip(names, (round(value, 4) for value in (total / len(gates.layers)).tolist())))
        for budget, total in sums.items()
    }


def attend_to_blocks(q, k, v, logits, prompts, budget, block_size):
    """Attention of every row to the blocks that its scores choose; rows of the prompts attend to all.

    `logits` [batch, kvHeads, rows, blocks] are the gate's scores, or None for the attention's own block maxima.
    """
    batch, heads, tokens, head_dim = q.shape
    kv_heads, out = k.shape[1], []
    for rows in row_chunks(tokens, batch * heads * tokens, ELEMENTS_PER_CHUNK // 2):
        positions = torch.arange(tokens, device=q.device)[rows].expand(batch, -1)
        weights = attention_weights(q[:, :, rows], k, positions)
        scores = block_weights(weights, kv_heads, block_size) if logits is None else logits[:, :, rows]
        chosen = choose_blocks(scores, positions, budget, block_size)
        chosen |= (positions < prompts[:, None])[:, None, :, None]
        grouped = weights.view(batch, kv_heads, heads // kv_heads, -1, tokens // block_size, block_size)
        grouped = grouped * chosen[:, :, None, :, :, None]
        grouped = (grouped / grouped.sum((-1, -2), keepdim=True)).view(batch, kv_heads, -1, tokens)
        out.append((grouped.to(v.dtype) @ v).view(batch, heads, -1, head_dim))
    return torch.cat(out, 2)


@torch.no_grad()
def measure_solved(model, gates, rows, budget, choice, device):
    """Share of documents whose completion is the greedy one under `choice`: "full", "gate" or "oracle"."""
    ids = torch.from_numpy(rows.ids.astype("int64")).to(device)
    prompts, ends = (torch.from_numpy(part).to(device) for part in (rows.prompts, rows.ends))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    cos, sin = model.rope(inputs.shape[1], device, model.embed.weight.dtype)
    positions = torch.arange(inputs.shape[1], device=device)
    x = model.embed(inputs)
    for layer, gate in zip(model.layers, gates.layers):
        q_plain, k_plain, v = layer.heads(x)
        q, k = rotate(q_plain, cos, sin), rotate(k_plain, cos, sin)
        if choice == "full":
            attended = attend_causally(q, k, v)
        else:
            logits = None
            if choice == "gate":
                logits = gate_scores(gate, q_plain, k_plain, positions.expand(len(ids), -1))
            attended = attend_to_blocks(q, k, v, logits, prompts, budget, gate.config.block_size)
        x = layer.after_attention(x, join_heads(attended))
    wrong = model.logits(model.norm(x)).argmax(-1) != targets
    counted = (positions >= prompts[:, None] - 1) & (positions < ends[:, None] - 2)  # up to the end token, not the line break
    wrong = (wrong & counted).sum(-1)
    return {"solved": round((wrong == 0).float().mean().item(), 4), "wrongTokens": round(wrong.float().mean().item(), 3)}


def measure(model, gates, held_out, options, device):
    report = {}
    for length, rows in held_out.items():
        report[length] = {"documents": len(rows.ends), "recall": measure_recall(model, gates, rows, options.budgets, device)}
        cells = [("full", 0)] + [(choice, budget) for choice in ("gate", "oracle") for budget in options.budgets]
        report[length]["completions"] = {
            f"{choice} {budget}".removesuffix(" 0"): measure_solved(model, gates, rows, budget, choice, device)
            for choice, budget in cells
        }
    return report


def parse_lengths(text):
    """Reads "1024:0.2,2048:0.8": lengths and their shares of the documents."""
    return [(int(length), float(share)) for length, share in (part.split(":") for part in text.split(","))]


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description="Distils the SeerAttention-R gate of a model.")
    parser.add_argument("--model", default="models/pico-reasoner", help="checkpoint folder")
    parser.add_argument("--out", default="out", help="folder of seer-attention-gates.safetensors and distill-gate.json")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training; the measurements come on top")
    parser.add_argument("--steps", type=int, default=10**9, help="most steps")
    parser.add_argument("--block", type=int, default=16, help="tokens per block")
    parser.add_argument("--gate-dim", type=int, default=64)
    parser.add_argument("--lengths", type=parse_lengths, default="512:0.1,1024:0.2,2048:0.3,4096:0.3,8192:0.1")
    parser.add_argument("--tokens", type=int, default=1 << 16, help="per step")
    parser.add_argument("--rows", type=int, default=ROWS_PER_DOCUMENT, help="query rows per document")
    parser.add_argument("--workers", type=int, default=14, help="processes that make documents; 0: in place")
    parser.add_argument("--held-out", type=parse_lengths, default="1024:64,2048:64,4096:32", help="length:documents")
    parser.add_argument("--budgets", type=lambda text: [int(part) for part in text.split(",")], default=list(BUDGETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=50)
    return parser.parse_args(arguments)


def main(arguments=None):
    options, began = read_options(arguments), time.time()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    out = make_folder(options.out)
    model = load_model(options.model, device, torch.bfloat16 if device == "cuda" else torch.float32)
    config = read_config(options.model)
    gates = Gates(GateConfig.of_model(config, block_size=options.block, gate_dim=options.gate_dim)).to(device)
    rng, tokenizer = random.Random(HELD_OUT_SEED), Tokenizer.from_file(f"{options.model}/tokenizer.json")
    held_out = {length: make_rows(rng, tokenizer, length, int(count)) for length, count in options.held_out}
    report = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "blockSize": options.block,
        "gateDim": options.gate_dim,
        "parameters": sum(weight.numel() for weight in gates.parameters()),
        "heldOutSeed": HELD_OUT_SEED,
        "before": measure(model, gates, held_out, options, device),
    }
    print("before:", json.dumps(report["before"]), flush=True)
    report["training"] = train(model, gates, options, device)
    save_gates(gates, f"{out}/seer-attention-gates.safetensors")
    gates = load_gates(f"{out}/seer-attention-gates.safetensors", config).to(device)  # in bf16, as the file has them
    report["after"] = measure(model, gates, held_out, options, device)
    report["totalSeconds"] = round(time.time() - began, 1)
    with open(f"{out}/distill-gate.json", "w") as file:
        json.dump(report, file, indent=1)
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
