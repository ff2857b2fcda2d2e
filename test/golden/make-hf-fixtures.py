"""Writes the tiny random checkpoints under test/golden/hf, which cover the options of config.json.

    pip install torch transformers==5.24 && python test/golden/make-hf-fixtures.py test/golden/hf
    python test/golden/hf_golden.py test/golden/hf/*/        # then writes golden.json

qwen3-untied, qwen2-bias and llama3-scaled are older than this script, which leaves them unchanged.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

OUT = pathlib.Path(sys.argv[1])
BASE = dict(vocab_size=320, hidden_size=96, intermediate_size=160, num_hidden_layers=4, max_position_embeddings=4096)
PLAIN = {"rope_type": "default", "rope_theta": 1e4}


def make(name, config, dtype=torch.bfloat16, shard=None, edit=None):
    torch.manual_seed(sum(map(ord, name)))
    folder = OUT / name
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for key, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.12)
        elif "norm" in key:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
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
