"""The architecture of the bundled model in PyTorch: Qwen3's decoder, with Hugging Face's names in its checkpoints."""

import json
import os
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class ModelShape:
    """Sizes of the decoder; the defaults are those of pico-reasoner."""

    vocab_size: int = 512
    hidden_size: int = 256
    intermediate_size: int = 640
    num_layers: int = 10
    num_query_heads: int = 8
    num_kv_heads: int = 2
    head_dim: int = 64
    rope_theta: float = 100000.0
    rms_norm_eps: float = 1e-6
    context_length: int = 8192

    @property
    def group_size(self):
        return self.num_query_heads // self.num_kv_heads


#: Seconds of training on a CPU are enough for this one to learn the format of the tasks.
SMALL_SHAPE = ModelShape(hidden_size=64, intermediate_size=160, num_layers=2, num_query_heads=4, head_dim=16)


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps)
        return h.to(x.dtype) * self.weight.to(x.dtype)


def rope_tables(positions, size, theta):
    """Returns cos and sin [positions, size] in f32 for a tensor of positions."""
    powers = torch.arange(0, size, 2, device=positions.device).float() / size
    angles = torch.outer(positions.float(), 1.0 / theta**powers)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """RoPE over the last dimension, in halves."""
    first, second = x.chunk(2, -1)
    return (x * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, inner, eps = shape.hidden_size, shape.intermediate_size, shape.rms_norm_eps
        self.head_dim = shape.head_dim
        query_size, kv_size = shape.num_query_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
        self.q_proj = nn.Linear(hidden, query_size, bias=False)
        self.k_proj = nn.Linear(hidden, kv_size, bias=False)
        self.v_proj = nn.Linear(hidden, kv_size, bias=False)
        self.o_proj = nn.Linear(query_size, hidden, bias=False)
        self.q_norm, self.k_norm = RmsNorm(shape.head_dim, eps), RmsNorm(shape.head_dim, eps)
        self.in_norm, self.post_norm = RmsNorm(hidden, eps), RmsNorm(hidden, eps)
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def heads(self, x):
        """Returns q, k, v [batch, heads, tokens, headDim], q and k before RoPE."""
        batch, tokens, _ = x.shape
        h = self.in_norm(x)
        projections = (self.q_proj, self.k_proj, self.v_proj)
        q, k, v = (project(h).view(batch, tokens, -1, self.head_dim) for project in projections)
        return self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2)

    def attention_input(self, x, cos, sin):
        """Returns q, k, v [batch, heads, tokens, headDim], q and k with RoPE."""
        q, k, v = self.heads(x)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def after_attention(self, x, attended):
        """Adds the output projection of `attended` [batch, tokens, heads * headDim] and the feed-forward to x."""
        x = x + self.o_proj(attended)
        h = self.post_norm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))

    def forward(self, x, cos, sin):
        q, k, v = self.attention_input(x, cos, sin)
        return self.after_attention(x, join_heads(attend_causally(q, k, v)))


def attend_causally(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def join_heads(attended):
    """Turns [batch, heads, tokens, headDim] into [batch, tokens, heads * headDim]."""
    batch, _, tokens, _ = attended.shape
    return attended.transpose(1, 2).reshape(batch, tokens, -1)


class LanguageModel(nn.Module):
    """Returns the last hidden states. Embeddings are tied: `logits` uses them as the output projection."""

    def __init__(self, shape=ModelShape()):
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = RmsNorm(shape.hidden_size, shape.rms_norm_eps)
        for name, weight in self.named_parameters():
            if "embed" in name:
                nn.init.normal_(weight, std=0.02)
            elif weight.ndim == 2:
                is_output = "o_proj" in name or "down" in name
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * (0.5 if is_output else 1.0))

    def rope(self, length, device, dtype):
        """Returns cos and sin [length, headDim] of the positions from 0 on."""
        tables = rope_tables(torch.arange(length, device=device), self.shape.head_dim, self.shape.rope_theta)
        return tuple(table.to(dtype) for table in tables)

    def forward(self, ids, cos, sin):
        x = self.embed(ids).to(cos.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def logits(self, hidden):
        return hidden @ self.embed.weight.to(hidden.dtype).T


# Checkpoints


def checkpoint_tensors(model):
    """Maps Hugging Face's names to the model's parameters."""
    norms = {"in_norm": "input_layernorm", "post_norm": "post_attention_layernorm"}
    tensors = {"model.embed_tokens.weight": model.embed.weight, "model.norm.weight": model.norm.weight}
    for i, layer in enumerate(model.layers):
        for name, weight in layer.named_parameters():
            part = name.split(".")[0]
            group = "mlp" if part in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            tensors[f"model.layers.{i}.{norms.get(part, f'{group}.{part}')}.weight"] = weight
    return tensors


def save_weights(model, folder):
    from safetensors.torch import save_file

    tensors = {name: w.detach().to(torch.bfloat16).contiguous().cpu() for name, w in checkpoint_tensors(model).items()}
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})


def load_model(folder, device, dtype):
    """Opens a checkpoint folder (config.json, model.safetensors) for inference."""
    from safetensors.torch import load_file

    tensors = load_file(f"{folder}/model.safetensors")
    model = LanguageModel(shape_of(read_config(folder)))
    for name, weight in checkpoint_tensors(model).items():
        weight.data.copy_(tensors[name].float())
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def read_config(folder):
    with open(f"{folder}/config.json") as file:
        return json.load(file)


def shape_of(config):
    return ModelShape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_query_heads=config["num_attention_heads"],
        num_kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        rope_theta=config["rope_theta"],
        rms_norm_eps=config["rms_norm_eps"],
        context_length=config["max_position_embeddings"],
    )


def config_of(shape, tokenizer):
    """Returns config.json in Hugging Face's spelling."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_query_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "use_cache": True,
        "initializer_range": 0.02,
        "torch_dtype": "bfloat16",
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "bos_token_id": None,
    }


def make_folder(path):
    os.makedirs(path, exist_ok=True)
    return path
