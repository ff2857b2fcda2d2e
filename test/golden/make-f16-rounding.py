"""Writes f16-rounding.json: how far logits of the golden checkpoints move when `transformers` 5.24 rounds to f16 as a GPU does.

    python test/golden/make-f16-rounding.py

`cache`: keys and values, after RoPE. `products`: also queries, weights of the softmax before they are divided by their sum, and the rows
that every matrix multiplies, as subgroup matrices take them. Each has `nearest`, the error with numbers rounded to the nearest, and
`largest`, the largest of TRIALS with numbers rounded up or down at random, of the same mean: what rounding may do to this checkpoint, and
so the bound of a test. Errors are those of golden.json: of the logits, as a share of the largest. A trial in which a router chooses other experts
than without rounding is left out: such a choice is a near-tie of random weights, and moves logits by 16 %.
"""
import json
import pathlib

import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

TRIALS = 32
MOST_TRIALS = 400
KINDS = {"cache": {"cache"}, "products": {"cache", "queries", "weights", "rows"}}
FOLDER = pathlib.Path(__file__).parent
LEAST_NORMAL = 2.0**-14

linear = torch.nn.functional.linear
state = {"kinds": set(), "round": None, "experts": []}


def nearest(values):
    return values.half().float()


def up_or_down(generator):
    def rounded(values):
        unit = torch.exp2(torch.floor(torch.log2(values.abs().clamp_min(LEAST_NORMAL))) - 10)
        return torch.floor(values / unit + torch.rand(values.shape, generator=generator)) * unit

    return rounded


def rounded(kind, values):
    return state["round"](values) if kind in state["kinds"] else values


def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    groups = query.shape[1] // key.shape[1]
    key, value = (rounded("cache", one).repeat_interleave(groups, 1) for one in (key, value))
    scores = rounded("queries", query) @ key.transpose(2, 3) * scaling + attention_mask
    masses = torch.exp(scores - scores.amax(-1, keepdim=True))
    attended = rounded("weights", masses) @ value / masses.sum(-1, keepdim=True)
    return attended.transpose(1, 2).contiguous(), None


def rounded_linear(x, weight, bias=None):
    return linear(rounded("rows", x), weight, bias)


def remember_experts(_module, _given, answer):
    state["experts"].append(answer[-1].clone())


def run(model, golden, kinds, rounding):
    """The error of the logits and the experts chosen."""
    state.update(kinds=kinds, round=rounding, experts=[])
    with torch.no_grad():
        logits = model(torch.tensor([golden["input_ids"]]), use_cache=False).logits[0]
    errors = []
    for position, expected in golden["logits"].items():
        expected = torch.tensor(expected)
        errors.append(((logits[int(position)] - expected).abs().max() / expected.abs().max()).item())
    return max(errors), state["experts"]


def open_model(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="rounded").eval()
    if hasattr(model.model.embed_tokens, "embed_scale"):
        config = json.loads((folder / "config.json").read_text())
        scale = model.model.embed_tokens.embed_scale
        scale.copy_(scale.to(getattr(torch, config.get("dtype") or config["torch_dtype"])))
    for name, module in model.named_modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(remember_experts)
    return model


def measure(folder):
    model, golden = open_model(folder), json.loads((folder / "golden.json").read_text())
    exact, right = run(model, golden, set(), None)
    if exact > 1e-4:
        raise SystemExit(f"{folder.name}: off by {exact} of its golden logits without any rounding")

    def is_right(experts):
        return all(torch.equal(one.sort(-1).values, other.sort(-1).values) for one, other in zip(experts, right))

    row = {}
    for kind, kinds in KINDS.items():
        generator, errors = torch.Generator().manual_seed(1), []
        for _ in range(MOST_TRIALS):
            error, experts = run(model, golden, kinds, up_or_down(generator))
            errors += [error] if is_right(experts) else []
            if len(errors) == TRIALS:
                break
        else:
            raise SystemExit(f"{folder.name}: rounding changes its experts in nearly every trial")
        row[kind] = {"nearest": float(f"{run(model, golden, kinds, nearest)[0]:.2e}"), "largest": float(f"{max(errors):.2e}")}
    return row


def main():
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.nn.functional.linear = rounded_linear
    ALL_ATTENTION_FUNCTIONS.register("rounded", attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register("rounded", eager_mask)
    rows = {}
    for folder in sorted((FOLDER / "hf").iterdir()):
        rows[folder.name] = measure(folder)
        print(folder.name, rows[folder.name], flush=True)
    (FOLDER / "f16-rounding.json").write_text(json.dumps(rows, indent=1) + "\n")


main()
