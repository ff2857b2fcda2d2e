"""Writes golden.json into checkpoint folders: logits and greedy tokens as `transformers` 5.24 computes them in f32.

    python test/golden/hf_golden.py test/golden/hf/*/

Loads the checkpoint with `from_pretrained`, as users do. A cast with `.to(torch.bfloat16)` would also round RoPE's
inverse frequencies to bf16, unlike any loaded checkpoint. Gemma's embedding scale keeps the rounding to the checkpoint's
dtype that users get without `dtype`.

Tokens of a checkpoint with experts are those of SEEDS draws in which no router comes near a tie: the rounding of a GPU decides ties,
and another expert moves logits by 16 %. A folder without golden.json gets tokens; others keep theirs.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

POSITIONS = (0, 10, 63, 64, 150, 199)
SEEDS = 400


def dtype_of(folder):
    config = json.loads((folder / "config.json").read_text())
    return config.get("dtype") or config["torch_dtype"]


def draw(seed, vocab):
    torch.manual_seed(seed)
    return torch.randint(0, vocab, (200,)).tolist()


def least_gap(model, ids, experts):
    """The smallest distance, over tokens and layers, of the logit of the last expert chosen to that of the next."""
    with torch.no_grad():
        routers = model(torch.tensor([ids]), output_router_logits=True).router_logits
    return min((top[:, experts - 1] - top[:, experts]).min().item() for top in (r.sort(descending=True).values for r in routers))


def draw_tokens(folder, model):
    config = json.loads((folder / "config.json").read_text())
    vocab, experts = config["vocab_size"], config.get("num_experts_per_tok")
    if experts is None:
        return draw(1, vocab)
    gap, seed = max((least_gap(model, draw(seed, vocab), experts), -seed) for seed in range(1, SEEDS + 1))
    print(f"{folder.name}: seed {-seed}, routers no nearer to a tie than {gap:.4f}")
    return draw(-seed, vocab)


for folder in map(pathlib.Path, sys.argv[1:]):
    path = folder / "golden.json"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    if hasattr(model.model.embed_tokens, "embed_scale"):
        scale = model.model.embed_tokens.embed_scale
        scale.copy_(scale.to(getattr(torch, dtype_of(folder))))
    input_ids = json.loads(path.read_text())["input_ids"] if path.exists() else draw_tokens(folder, model)
    x = torch.tensor([input_ids])
    with torch.no_grad():
        logits = model(x).logits[0].double()
        greedy = model.generate(
            x[:, :50], attention_mask=torch.ones(1, 50, dtype=torch.long), max_new_tokens=60, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )[0, 50:].tolist()
    path.write_text(json.dumps({
        "input_ids": input_ids,
        "logits": {str(p): [round(v, 5) for v in logits[p].tolist()] for p in POSITIONS},
        "greedy_from_first_50": greedy,
    }))
    print(folder.name)
