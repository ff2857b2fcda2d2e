"""The gate of SeerAttention-R (arXiv 2506.08889): inference, the pooled form that training needs, and its file.

A gate scores blocks of cached tokens for each kv head, from queries and keys after the head norms and before RoPE. Names and
shapes of parameters are those of the published gates. Positions follow training: a block's key is rotated by the position
of the block's first token, in decode steps too.

    gates = Gates(config)                                   # one Gate a layer, in .layers
    logits = gates.layers[n].logits(q_nope, k_nope)         # [batch, kv heads, tokens, blocks], -inf for later blocks
    target = head_targets(block_targets(weights, config.block_size), config.num_kv_heads)   # weights of full attention
    loss = distillation_loss(logits, target)
    save_gates(gates, "seer-attention-gates.safetensors")

q_nope is [batch, tokens, query heads, head dim], k_nope [batch, tokens, kv heads, head dim].
"""

import dataclasses
import json
import pathlib

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-6  # of the published gates, whatever the model's


@dataclasses.dataclass(frozen=True)
class GateConfig:
    num_layers: int
    num_query_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float
    block_size: int = 64
    gate_dim: int = 128
    use_qk_norm: bool = True
    use_rope: bool = True
    start_layer: int = 0

    @staticmethod
    def of_model(config, **options):
        """The config of a gate for a model's config.json, as a dict."""
        return GateConfig(
            num_layers=config["num_hidden_layers"],
            num_query_heads=config["num_attention_heads"],
            num_kv_heads=config["num_key_value_heads"],
            head_dim=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
            rope_theta=config.get("rope_theta") or config["rope_parameters"]["rope_theta"],
            **options,
        )

    def fields(self):
        """The published names of the fields, with which the file says what the gate is."""
        return {
            "seerattn_gate_block_size": self.block_size,
            "seerattn_gate_hidden_size": self.gate_dim,
            "seerattn_k_seq_pooling_type": "Kmaxminavg",
            "seerattn_q_head_pooling_type": "Qproj",
            "seerattn_use_qk_norm": self.use_qk_norm,
            "seerattn_use_rope": self.use_rope,
            "seerattn_start_layer": self.start_layer,
        }


def rms_norm(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS) * weight


def rotate(x, positions, theta):
    """RoPE over the last dimension, rotate-half. x: [batch, places, heads, dim]; positions: [places]."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half, dtype=torch.float64, device=x.device) / half)
    angles = positions.to(x.device, torch.float64)[:, None] * frequencies
    cos, sin = angles.cos().to(x.dtype)[:, None], angles.sin().to(x.dtype)[:, None]
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def pool_blocks(keys, block_size):
    """Maximum, minimum and mean of the keys of each whole block: [batch, blocks, kv heads, 3 * head dim]."""
    batch, tokens, heads, dim = keys.shape
    blocks = tokens // block_size
    keys = keys[:, : blocks * block_size].reshape(batch, blocks, block_size, heads, dim)
    return torch.cat((keys.amax(2), keys.amin(2), keys.mean(2)), -1)


class HeadLinear(nn.Module):
    """A linear map of each head, without bias. weight: shape, of which the last is the output."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.xavier_uniform_(self.weight)


class HeadNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return rms_norm(x, self.weight)


class Gate(nn.Module):
    """The gate of one layer."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        kv_heads, dim, gate_dim = config.num_kv_heads, config.head_dim, config.gate_dim
        self.attngate_linear_q = HeadLinear(kv_heads, config.num_query_heads // kv_heads, dim, gate_dim)
        self.attngate_linear_k = HeadLinear(kv_heads, 3 * dim, gate_dim)
        self.attngate_qnorm = HeadNorm(gate_dim) if config.use_qk_norm else nn.Identity()
        self.attngate_knorm = HeadNorm(gate_dim) if config.use_qk_norm else nn.Identity()

    def queries(self, q_nope, positions):
        """[batch, rows, query heads, head dim] to [batch, rows, kv heads, gate dim]. positions: [rows]."""
        kv_heads = self.config.num_kv_heads
        grouped = q_nope.unflatten(2, (kv_heads, -1))
        queries = self.attngate_qnorm(torch.einsum("btkgd,kgdo->btko", grouped, self.attngate_linear_q.weight))
        return rotate(queries, positions, self.config.rope_theta) if self.config.use_rope else queries

    def block_keys(self, k_nope):
        """Keys of the whole blocks of [batch, tokens, kv heads, head dim]: [batch, blocks, kv heads, gate dim]."""
        block = self.config.block_size
        pooled = pool_blocks(k_nope, block)
        keys = self.attngate_knorm(torch.einsum("bnki,kio->bnko", pooled, self.attngate_linear_k.weight))
        firsts = torch.arange(pooled.shape[1], device=k_nope.device) * block
        return rotate(keys, firsts, self.config.rope_theta) if self.config.use_rope else keys

    def scores(self, queries, keys):
        """[batch, rows, kv heads, gate dim] and [batch, blocks, kv heads, gate dim] to [batch, kv heads, rows, blocks]."""
        return torch.einsum("btko,bnko->bktn", queries, keys) / self.config.gate_dim**0.5

    def decode_scores(self, q_nope, k_nope):
        """
        Scores of all blocks as a decode step has them: q_nope is the last token's, [batch, 1, query heads, head dim]; an
        unfinished last block has the key 0, hence the score 0. [batch, kv heads, blocks]
        """
        tokens = k_nope.shape[1]
        scores = self.scores(self.queries(q_nope, torch.tensor([tokens - 1])), self.block_keys(k_nope))[:, :, 0]
        return F.pad(scores, (0, 1)) if tokens % self.config.block_size else scores

    def logits(self, q_nope, k_nope):
        """
        Scores of whole blocks for every row, -inf for blocks that begin after the row. A last block that is not whole has no
        column: cut the sequence to whole blocks. [batch, kv heads, tokens, blocks]
        """
        tokens, block = q_nope.shape[1], self.config.block_size
        rows = torch.arange(tokens, device=q_nope.device)
        scores = self.scores(self.queries(q_nope, rows), self.block_keys(k_nope))
        firsts = torch.arange(scores.shape[-1], device=q_nope.device) * block
        return scores.masked_fill(firsts > rows[:, None], float("-inf"))


class Gates(nn.Module):
    """The gates of all layers from `start_layer` on; `layers` has None before it."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            Gate(config) if layer >= config.start_layer else None for layer in range(config.num_layers)
        )

    def published_names(self):
        """The parameters by their published names."""
        return {
            f"model.layers.{name.removeprefix('layers.').replace('.', '.self_attn.attn_gate.', 1)}": parameter.detach()
            for name, parameter in self.named_parameters()
        }


def select_blocks(scores, budget, block_size, threshold=None):
    """
    The blocks that a decode step reads, as a mask of the shape of `decode_scores`: the budget // block_size best by score, ties to
    the lower, or those whose softmax weight is above a threshold; and the first and the last block. As in the published code, these
    two are among the candidates, so that at most budget // block_size + 2 blocks are read.
    """
    mask = torch.zeros_like(scores, dtype=torch.bool)
    count = budget // block_size
    if threshold is not None:
        mask = scores.softmax(-1) > threshold
    elif scores.shape[-1] <= count:
        mask = ~mask
    else:
        mask.scatter_(-1, scores.sort(dim=-1, descending=True, stable=True).indices[..., :count], True)
    mask[..., 0] = mask[..., -1] = True
    return mask


def block_targets(weights, block_size):
    """
    The maximum of softmax weights [batch, query heads, rows, tokens] over each whole block: [batch, query heads, rows, blocks].
    `head_targets` makes targets of them.
    """
    blocks = weights.shape[-1] // block_size
    return weights[..., : blocks * block_size].unflatten(-1, (blocks, block_size)).amax(-1)


def head_targets(block_weights, num_kv_heads):
    """Maximum over the query heads of each kv head, rows scaled to a sum of 1: [batch, kv heads, rows, blocks]."""
    most = block_weights.unflatten(1, (num_kv_heads, -1)).amax(2)
    return most / most.sum(-1, keepdim=True).clamp_min(1e-20)


def distillation_loss(logits, targets, first_row=None):
    """
    KL(targets || softmax(logits)), the mean over rows from `first_row` on; default: the last half, as published.
    Both are [batch, kv heads, rows, blocks].
    """
    first_row = logits.shape[2] // 2 if first_row is None else first_row
    logs = F.log_softmax(logits[:, :, first_row:].float(), -1)
    targets = targets[:, :, first_row:].float()
    seen = targets > 0
    terms = torch.where(seen, targets * (targets.clamp_min(1e-20).log() - logs.masked_fill(~seen, 0)), 0)
    return terms.sum(-1).mean()


def save_gates(gates, path, dtype=torch.bfloat16):
    """Writes a .safetensors file; its metadata has the config's fields, as JSON text each."""
    from safetensors.torch import save_file

    tensors = {name: value.to("cpu", dtype).contiguous() for name, value in gates.published_names().items()}
    metadata = {name: json.dumps(value) for name, value in gates.config.fields().items()}
    save_file(tensors, path, {"format": "pt", **metadata})


def load_gates(path, model_config, dtype=torch.float32):
    """Reads a file of `save_gates`. model_config: the model's config.json, as a dict."""
    from safetensors import safe_open

    with safe_open(pathlib.Path(path), "pt") as file:
        fields = {name: json.loads(value) for name, value in file.metadata().items() if name != "format"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    config = GateConfig.of_model(
        model_config,
        block_size=fields["seerattn_gate_block_size"],
        gate_dim=fields["seerattn_gate_hidden_size"],
        use_qk_norm=fields["seerattn_use_qk_norm"],
        use_rope=fields["seerattn_use_rope"],
        start_layer=fields["seerattn_start_layer"],
    )
    gates = Gates(config).to(dtype)
    own = gates.published_names()
    if own.keys() != tensors.keys():
        raise ValueError(f"{path}: expected {sorted(own)}, got {sorted(tensors)}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])
    return gates
