"""Writes attention-trace.json: metrics of LessIsMore's attention on the bundled model, by transformers and numpy.

The model's attention is replaced by a function that attends densely in prefill and, in decode steps, as the policy does. It
sums in f64 and shares no code with the engine. Needs torch and transformers:
    python test/golden/make-attention-trace.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache

HERE = Path(__file__).parent
MODEL = HERE.parent.parent / "models" / "pico-reasoner"
FROM, STEPS = 150, 3
BUDGET, SINKS, RECENT = 64, 4, 12  # recency=0.25
LAYERS = (2, 7)

selected: list[int] = []
trace: list[dict] = []


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def merge(scores):
    """Rank by rank over the heads, first occurrence kept; returns the set and the ranks visited."""
    length = scores.shape[1]
    middle = np.arange(SINKS, length - RECENT)
    ranked = [middle[np.lexsort((middle, -row[middle]))] for row in scores]
    kept: dict[int, None] = {}
    count = BUDGET - SINKS - RECENT
    for rank in range(len(middle)):
        for head in ranked:
            if len(kept) < count:
                kept[int(head[rank])] = None
        if len(kept) == count:
            return list(kept), rank + 1
    raise ValueError("fewer candidates than the budget")


def attend(module, query, key, value, mask, scaling, **_):
    global selected
    layer, groups = module.layer_idx, query.shape[1] // key.shape[1]
    q = query[0].double().numpy()
    k, v = (np.repeat(x[0].double().numpy(), groups, axis=0) for x in (key, value))
    rows, length = q.shape[1], k.shape[1]
    logits = np.einsum("hrd,htd->hrt", q, k) * scaling
    if rows > 1:
        logits = np.where(np.tril(np.ones((rows, length)), length - rows) > 0, logits, -np.inf)
    weights = softmax(logits)
    dense = np.einsum("hrt,htd->hrd", weights, v)
    out = dense
    if rows == 1:
        record = {"layer": layer, "weights": weights[:, 0, :8].tolist()}
        if layer in LAYERS:
            ranked, record["mergeDepth"] = merge(logits[:, 0])
            ends = [*range(SINKS), *range(length - RECENT, length)]
            selected = sorted({*ranked, *ends})
        if layer >= LAYERS[0]:
            record["selection"] = list(selected)
            record["recall"] = weights[:, 0, selected].sum(-1).tolist()
        if layer > LAYERS[0] and layer not in LAYERS:
            sparse = softmax(logits[:, :, selected])
            out = np.einsum("hrt,htd->hrd", sparse, v[:, selected])
            error = np.linalg.norm(out - dense, axis=(1, 2)) / np.linalg.norm(dense, axis=(1, 2))
            record["outputError"] = error.tolist()
        trace.append(record)
    return torch.from_numpy(out).to(query.dtype).transpose(0, 1)[None], None


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def overlaps(layers, others):
    return [
        [
            jaccard(a["selection"], b["selection"]) if "selection" in a and "selection" in b else None
            for b in others
        ]
        for a in layers
    ]


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value


def main():
    global trace
    problem = json.loads((HERE / "pico-reasoner.json").read_text())[-1]
    tokens = (problem["prompt_ids"] + problem["greedy_ids"])[: FROM + STEPS + 1]
    AttentionInterface.register("traced", attend)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="traced")
    cache, steps, before = DynamicCache(), [], None
    with torch.no_grad():
        model(torch.tensor([tokens[:FROM]]), past_key_values=cache)
        for step in range(STEPS):
            trace = []
            model(torch.tensor([[tokens[FROM + step]]]), past_key_values=cache)
            entry = {"layers": trace, "layerOverlap": overlaps(trace, trace)}
            if before:
                entry["stepOverlap"] = [row[i] for i, row in enumerate(overlaps(trace, before))]
            steps.append(entry)
            before = trace
    out = {"attention": f"less-is-more:budget={BUDGET},layers=2+7", "from": FROM, "tokens": tokens, "steps": steps}
    text = json.dumps(rounded(out), separators=(",", ":"))
    (HERE / "attention-trace.json").write_text(text + "\n")


main()
