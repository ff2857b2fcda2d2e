"""Writes the tiny random checkpoints under test/golden/hf, which cover the options of config.json.

    pip install torch transformers==5.24 && python test/golden/make-hf-fixtures.py test/golden/hf [NAME ...]
    python test/golden/hf_golden.py test/golden/hf/*/        # then writes golden.json

With names it writes those alone. qwen3-untied, qwen2-bias and llama3-scaled are older than this script, which leaves them unchanged.
"""
import json
import pathlib
import sys

import torch
from transformers import (
    AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Ministral3Config, MinistralConfig, MistralConfig, Phi3Config,
    Qwen2Config, Qwen3Config, Qwen3MoeConfig, SmolLM3Config,
)

OUT, *NAMES = map(pathlib.Path, sys.argv[1:])
BASE = dict(vocab_size=320, hidden_size=96, intermediate_size=160, num_hidden_layers=4, max_position_embeddings=4096)
PLAIN = {"rope_type": "default", "rope_theta": 1e4}


def make(name, config, dtype=torch.bfloat16, shard=None, edit=None, seed=0, spread=1.0):
    """seed, spread: chosen so that 60 greedy tokens are diverse and no tie is near."""
    if NAMES and pathlib.Path(name) not in NAMES:
        return
    torch.manual_seed(sum(map(ord, name)) + seed)
    folder = OUT / name
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for key, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            # Gemma's scaled embeddings would drown the layers' results
            part = 0.25 if "gemma" in name and "embed" in key else 1
            torch.nn.init.normal_(parameter, std=part * spread * 0.12 * (96 / config.hidden_size) ** 0.5)
        elif "norm" in key:
            low = -0.5 if "gemma" in name else 0.5  # Gemma stores norms without their 1
            torch.nn.init.uniform_(parameter, low, low + 1)
        else:
            torch.nn.init.normal_(parameter, std=0.3)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    if edit:
        path = folder / "config.json"
        values = json.loads(path.read_text())
        edit(values)
        path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    print(name, sorted(p.name for p in folder.iterdir()))


def old_yarn(values):
    """Returns transformers 4's spelling: rope_theta, and rope_scaling with its type under `type` or `rope_type`."""
    rope = values.pop("rope_parameters")
    values["rope_theta"] = rope.pop("rope_theta")
    values["rope_scaling"] = rope
    values["torch_dtype"] = values.pop("dtype")
    values.pop("layer_types")


def old_linear(values):
    rope = values.pop("rope_parameters")
    values["rope_theta"] = rope.pop("rope_theta")
    values["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
    values.pop("head_dim")  # older configs left out what follows from the rest


make("qwen3-yarn", Qwen3Config(
    **{**BASE, "max_position_embeddings": 256}, num_attention_heads=6, num_key_value_heads=3, head_dim=16,
    tie_word_embeddings=True, eos_token_id=[2, 7],
    rope_parameters={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4},
), edit=old_yarn)
make("llama-linear-f16", LlamaConfig(
    **BASE, num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=False,
    rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 1e4},
), dtype=torch.float16, shard="400KB", edit=old_linear)
make("llama-mha-f32", LlamaConfig(
    **{**BASE, "num_hidden_layers": 2, "intermediate_size": 120}, num_attention_heads=4, num_key_value_heads=4,
    tie_word_embeddings=True, rope_parameters=PLAIN,
), dtype=torch.float32)
make("qwen2-tied", Qwen2Config(
    **{**BASE, "hidden_size": 80}, num_attention_heads=10, num_key_value_heads=2, tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 1e6},
))
make("qwen3-group8", Qwen3Config(
    **{**BASE, "num_hidden_layers": 3}, num_attention_heads=8, num_key_value_heads=1, head_dim=18,
    tie_word_embeddings=False, rope_parameters=PLAIN,
))
make("llama-attention-bias", LlamaConfig(
    **{**BASE, "num_hidden_layers": 3}, num_attention_heads=6, num_key_value_heads=2, attention_bias=True,
    tie_word_embeddings=False, rope_parameters=PLAIN,
))
make("qwen3-yarn-left-alone", Qwen3Config(
    **{**BASE, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 80},
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
    rope_parameters={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 1e4},
), edit=old_yarn)  # as people add YaRN to Qwen3: max_position_embeddings stays what it was

# One small checkpoint for each further family. Windows are shorter than the 50 tokens of the golden prompt.
SMALL = dict(
    vocab_size=96, hidden_size=40, intermediate_size=56, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
    bos_token_id=None, eos_token_id=None, pad_token_id=None,
)
make("qwen2-window", Qwen2Config(
    **SMALL, use_sliding_window=True, sliding_window=24, max_window_layers=2, rope_parameters=PLAIN,
), edit=lambda values: values.pop("layer_types"))
make("mistral-window", MistralConfig(**SMALL, head_dim=16, sliding_window=32, rope_parameters=PLAIN))
make("ministral-window", MinistralConfig(
    **SMALL, head_dim=12, sliding_window=16, rope_parameters=PLAIN,
    layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
), seed=8)
make("ministral3-yarn", Ministral3Config(
    **SMALL, head_dim=16, rope_parameters={
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 16.0, "original_max_position_embeddings": 64,
        "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    },
), seed=4, spread=1.8)
make("smollm3-no-rope", SmolLM3Config(**{**SMALL, "num_hidden_layers": 5}, rope_parameters=PLAIN))
ROTARY = 12  # of a head of 16
make("phi3-longrope", Phi3Config(
    **{**SMALL, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}, original_max_position_embeddings=128, rope_parameters={
        "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": ROTARY / 16,
        "short_factor": [1 + 0.1 * i for i in range(ROTARY // 2)],
        "long_factor": [1 + 1.5 * i * i for i in range(ROTARY // 2)],
    },
))
GEMMA = dict(
    **{**SMALL, "num_hidden_layers": 4, "num_key_value_heads": 1}, head_dim=16, query_pre_attn_scalar=20, sliding_window=20,
)
make("gemma3-local", Gemma3TextConfig(
    **GEMMA, layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
    rope_parameters={
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
), seed=4)


def old_gemma(values):
    """Returns transformers 4's spelling: a pattern, and RoPE values beside each other."""
    rope = values.pop("rope_parameters")
    values["rope_theta"] = rope["full_attention"].pop("rope_theta")
    values["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    values["rope_scaling"] = rope["full_attention"]
    values["sliding_window_pattern"] = 2
    values["torch_dtype"] = values.pop("dtype")
    values.pop("layer_types")
    values.pop("_sliding_window_pattern", None)


make("gemma3-f32", Gemma3TextConfig(
    **{**GEMMA, "num_hidden_layers": 2}, layer_types=["sliding_attention", "full_attention"],
    rope_parameters={
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
), dtype=torch.float32, edit=old_gemma)
MOE = dict(
    **{**SMALL, "hidden_size": 32, "intermediate_size": 40}, head_dim=16, moe_intermediate_size=16, num_experts_per_tok=2,
    rope_parameters=PLAIN,
)
make("qwen3-moe", Qwen3MoeConfig(**MOE, num_experts=6, norm_topk_prob=True, mlp_only_layers=[1]), seed=4, spread=1.8)
make("qwen3-moe-raw-weights", Qwen3MoeConfig(
    **{**MOE, "num_experts_per_tok": 3}, num_experts=7, norm_topk_prob=False, decoder_sparse_step=2,
    use_sliding_window=True, sliding_window=40,
), seed=11, spread=1.8)
