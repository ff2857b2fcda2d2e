"""Writes kascade.json: greedy tokens under Kascade and their log-probabilities, computed with `transformers` 5.24 in f32 and PyTorch's own operations.

    python test/golden/make-kascade.py

Kascade (arXiv 2512.16391) in decode steps, after dense prefill, with a fixed budget: an anchor layer sums the softmax weights of
the query heads of each kv head and takes the best tokens; layer 0 attends to all, other anchors to their own set, and layers
between to the last anchor's, each kv head to the set of the head that its map names.
"""
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBLEMS = json.loads((ROOT / "test/golden/pico-reasoner.json").read_text())
SETTINGS = {}
STATE = {}


def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    layer, group = module.layer_idx, module.num_key_value_groups
    kv_heads, length = key.shape[1], key.shape[2]
    logits = query @ key.repeat_interleave(group, 1).transpose(2, 3) * scaling
    logits = logits + attention_mask[..., :length]
    if query.shape[2] == 1 and length > SETTINGS["budget"]:
        if layer in SETTINGS["anchors"]:
            weights = logits.softmax(-1)[0, :, 0].view(kv_heads, group, length).sum(1)
            STATE["sets"] = weights.topk(SETTINGS["budget"], -1).indices
        sets = STATE["sets"]
        if layer not in SETTINGS["anchors"]:
            sets = sets[SETTINGS["maps"].get(layer, list(range(kv_heads)))]
        if layer > 0:
            keep = torch.zeros(kv_heads, length, dtype=torch.bool).scatter_(1, sets, True)
            logits = logits.masked_fill(~keep.repeat_interleave(group, 0)[None, :, None], float("-inf"))
            STATE["masked"] = STATE.get("masked", 0) + 1
    out = logits.softmax(-1) @ value.repeat_interleave(group, 1)
    return out.transpose(1, 2).contiguous(), None


def spec_of(budget, anchors, maps):
    spec = f"kascade:budget={budget},anchors={'+'.join(map(str, anchors))}"
    if maps:
        spec += ",maps=" + "+".join(f"{layer}:{'-'.join(map(str, heads))}" for layer, heads in maps.items())
    return spec


def case(folder, prompt_ids, tokens, budget, anchors, maps):
    SETTINGS.update(budget=budget, anchors=anchors, maps=maps)
    STATE.clear()
    model = AutoModelForCausalLM.from_pretrained(ROOT / folder, dtype=torch.float32, attn_implementation="kascade").eval()
    x = torch.tensor([prompt_ids])
    with torch.no_grad():
        def greedy():
            made = model.generate(
                x, attention_mask=torch.ones_like(x), max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0,
                output_logits=True, return_dict_in_generate=True,
            )
            ids = made.sequences[0, len(prompt_ids):].tolist()
            return ids, [logits[0].double().log_softmax(-1)[token].item() for logits, token in zip(made.logits, ids)]

        sparse, log_probs = greedy()
        masked = STATE["masked"]
        SETTINGS["budget"] = 1 << 30
        dense, _ = greedy()
    at = next((i for i, (a, b) in enumerate(zip(sparse, dense)) if a != b), None)
    print(folder, spec_of(budget, anchors, maps), f"{masked} masked layers, first other token than dense: {at}")
    assert masked > 0
    return dict(model=folder, spec=spec_of(budget, anchors, maps), prompt_ids=prompt_ids, greedy_ids=sparse,
                log_probs=[round(value, 6) for value in log_probs])


ALL_ATTENTION_FUNCTIONS.register("kascade", attention)
ALL_MASK_ATTENTION_FUNCTIONS.register("kascade", eager_mask)


def first_50(name):
    return json.loads((ROOT / f"test/golden/hf/{name}/golden.json").read_text())["input_ids"][:50]


if __name__ == "__main__":
    pico = "models/pico-reasoner"
    cases = [
        case("test/golden/hf/qwen3-untied", first_50("qwen3-untied"), 60, 16, [0, 2], {1: [1, 0], 3: [0, 0]}),
        case("test/golden/hf/qwen3-yarn", first_50("qwen3-yarn"), 60, 24, [0, 1], {2: [2, 0, 1], 3: [2, 0, 1]}),
        case(pico, PROBLEMS[1]["prompt_ids"], 160, 48, [0, 2, 5], {1: [1, 0], 3: [1, 1], 4: [1, 1], 8: [1, 0]}),
        case(pico, PROBLEMS[3]["prompt_ids"], 120, 96, [0, 2, 7], {}),
    ]
    (ROOT / "test/golden/kascade.json").write_text(json.dumps(cases))
