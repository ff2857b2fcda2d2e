"""Writes random gates of SeerAttention-R for two checkpoints, and the greedy tokens that PyTorch gives under them.

    python test/golden/make-seer-fixtures.py test/golden/hf test/golden/seer

Needs torch, transformers 5.24 and safetensors. The checkpoint runs in f64; its prompt attends densely, each decoded token to
the blocks that the gate of `training/seer_gate.py` selects for each kv head. qwen3-group8 has head norms and a .safetensors
file, qwen2-bias has biases, no head norms, and the published form: a .pth file beside a config.json.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "training"))
import seer_gate  # noqa: E402

HF, OUT = map(pathlib.Path, sys.argv[1:])
PROMPT, TOKENS = 120, 60
#: Least gap between the best two tokens, and between the last selected block and the next.
LEAST_GAP = 3e-4
#: Least gap of a block's weight from the threshold, of the thousands of weights that are compared with it.
LEAST_GAP_OF_WEIGHTS = 1e-5
#: About the weight of one of the prompt's eight blocks: some are above it, some below. For the gate with norms alone: the weights of
#: the other are too much alike to decide by.
THRESHOLD = 0.12


class Run:
    """A decoding with its gates: keys before RoPE by layer, and the narrowest decision."""

    def __init__(self, gates, budget, threshold=None):
        self.gates, self.budget, self.threshold = gates, budget, threshold
        self.keys = {}
        self.gap = float("inf")
        self.selected = []

    def visible(self, layer, q_nope, k_nope):
        """Mask [1, kv heads, tokens] of a decode step, or None for a prompt. Both inputs are of the new tokens."""
        known = self.keys.get(layer)
        self.keys[layer] = k_nope if known is None else torch.cat((known, k_nope), 1)
        if q_nope.shape[1] > 1:
            return None
        if self.gates.layers[layer] is None:
            return torch.ones(1, self.gates.config.num_kv_heads, self.keys[layer].shape[1], dtype=torch.bool)
        block = self.gates.config.block_size
        scores = self.gates.layers[layer].decode_scores(q_nope, self.keys[layer])
        mask = seer_gate.select_blocks(scores, self.budget, block, self.threshold)
        best = scores.sort(dim=-1, descending=True).values
        count = self.budget // block
        if self.threshold is not None:
            weight_gap = (scores.softmax(-1) - self.threshold).abs().min().item()
            self.gap = min(self.gap, weight_gap * LEAST_GAP / LEAST_GAP_OF_WEIGHTS)
        elif best.shape[-1] > count:
            self.gap = min(self.gap, (best[..., count - 1] - best[..., count]).min().item())
        self.selected.append(mask.sum(-1).flatten().tolist())
        return mask.repeat_interleave(block, -1)[..., : self.keys[layer].shape[1]]


def attention(run, rotate):
    def forward(self, hidden_states, position_embeddings, attention_mask, cache=None, **_):
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        norm = lambda name, x: getattr(self, name)(x) if hasattr(self, name) else x
        query = norm("q_norm", self.q_proj(hidden_states).view(shape))
        key = norm("k_norm", self.k_proj(hidden_states).view(shape))
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        visible = run.visible(self.layer_idx, query, key)
        query, key = rotate(query.transpose(1, 2), key.transpose(1, 2), *position_embeddings)
        key, value = cache.update(key, value, self.layer_idx)
        groups = self.num_key_value_groups
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        logits = query @ key.transpose(2, 3) * self.scaling
        if visible is None:
            rows = logits.shape[2]
            logits = logits.masked_fill(~torch.ones(rows, rows, dtype=torch.bool).tril(), float("-inf"))
        else:
            logits = logits.masked_fill(~visible.repeat_interleave(groups, 1)[:, :, None], float("-inf"))
        output = (logits.softmax(-1) @ value).transpose(1, 2).reshape(*hidden_states.shape[:-1], -1)
        return self.o_proj(output), None

    return forward


@torch.no_grad()
def decode(model, run, prompt):
    tokens, cache, inputs, gap = [], None, torch.tensor([prompt]), float("inf")
    for _ in range(TOKENS):
        out = model(inputs, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = out.logits[0, -1].topk(2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
        inputs = best.indices[:1][None]
    return tokens, min(gap, run.gap)


def make(name, module, module_class, budget, save, **options):
    config = json.loads((HF / name / "config.json").read_text())
    golden = json.loads((HF / name / "golden.json").read_text())
    prompt = golden["input_ids"][:PROMPT]
    model = AutoModelForCausalLM.from_pretrained(HF / name, dtype=torch.float64, attn_implementation="eager").eval()
    gate_config = seer_gate.GateConfig.of_model(config, **options)
    for seed in range(100):
        torch.manual_seed(seed)
        gates = seer_gate.Gates(gate_config)
        for parameter in gates.parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        stored = save(gates, OUT / name)
        gates = gates.double()
        for key, value in gates.published_names().items():
            value.copy_(stored[key])
        run = Run(gates, budget)
        setattr(module_class, "forward", attention(run, module.apply_rotary_pos_emb))
        tokens, gap = decode(model, run, prompt)
        if gap <= LEAST_GAP or len(set(tokens)) <= 20:
            continue
        by_threshold = {}
        if gate_config.use_qk_norm:
            above = Run(gates, budget, THRESHOLD)
            setattr(module_class, "forward", attention(above, module.apply_rotary_pos_emb))
            tokens_above, gap_above = decode(model, above, prompt)
            gap = min(gap, gap_above)
            by_threshold = {"threshold": THRESHOLD, "greedy_above": tokens_above}
        if gap > LEAST_GAP and len(set(tokens)) > 20:
            break
    else:
        raise ValueError(f"{name}: no seed of 100 decides by more than {LEAST_GAP}")
    dense = Run(gates, 1 << 20)
    setattr(module_class, "forward", attention(dense, module.apply_rotary_pos_emb))
    full, _ = decode(model, dense, prompt)
    print(name, "seed", seed, "gap", gap, "blocks", run.selected[0], "differs at", [a == b for a, b in zip(tokens, full)].index(False))
    last = gates.layers[-1]
    ends = {
        part: [value for i in (0, 1, -2, -1) for value in [getattr(last, f"attngate_linear_{part}").weight.flatten()[i].item()]]
        for part in "qk"
    }
    return {"model": name, "budget": budget, "prompt_ids": prompt, "greedy": tokens, **by_threshold, "dense": full, "last_layer": ends}


def save_safetensors(gates, folder):
    folder.mkdir(parents=True, exist_ok=True)
    seer_gate.save_gates(gates, folder / "seer-attention-gates.safetensors")
    return {name: value.bfloat16().double() for name, value in gates.published_names().items()}


def save_pth(gates, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.half() for name, value in gates.published_names().items()}
    torch.save(tensors, folder / "attn_gate_weights.pth")
    (folder / "config.json").write_text(json.dumps(gates.config.fields(), indent=2) + "\n")
    return {name: value.double() for name, value in tensors.items()}


rows = [
    make("qwen3-group8", modeling_qwen3, modeling_qwen3.Qwen3Attention, 32, save_safetensors, block_size=16, gate_dim=32),
    make(
        "qwen2-bias", modeling_qwen2, modeling_qwen2.Qwen2Attention, 32, save_pth,
        block_size=16, gate_dim=12, use_qk_norm=False, start_layer=1,
    ),
]
(OUT / "golden.json").write_text(json.dumps(rows) + "\n")
