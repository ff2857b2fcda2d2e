"""Writes test/golden/gguf: tiny random models as GGUF, converted by llama.cpp, and their logits as `transformers` computes them.

    pip install torch transformers==5.24 gguf==0.19.0
    LLAMA_CPP=path/to/llama.cpp python test/golden/make-gguf-fixtures.py   # the folder with convert_hf_to_gguf.py

Each model is saved as a Hugging Face folder, loaded again for its logits, and converted. The files have no vocabulary.
`logits` holds the logits at some positions of `input_ids`, in f32.
"""
import json
import os
import pathlib
import sys
import tempfile

import torch
from transformers import (
    AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Ministral3Config, MistralConfig, Phi3Config, Qwen2Config,
    Qwen3Config, Qwen3MoeConfig, SmolLM3Config,
)

sys.path.insert(0, os.environ["LLAMA_CPP"])
sys.path.insert(1, os.environ["LLAMA_CPP"] + "/gguf-py")
import gguf  # noqa: E402
from conversion import ModelBase, get_model_class  # noqa: E402

OUT = pathlib.Path(__file__).with_name("gguf")
POSITIONS = (0, 1, 17, 40, 59)
BASE = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False)
PLAIN = {"rope_type": "default", "rope_theta": 1e4}


def make(name, config, dtype=torch.float32, file_type="f32"):
    torch.manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for key, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
        elif "norm" in key:
            torch.nn.init.uniform_(parameter, -0.5, 0.5) if "gemma" in name else torch.nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            torch.nn.init.normal_(parameter, std=0.3)
    input_ids = torch.randint(0, config.vocab_size, (60,))
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / name  # its name enters the file
        model.to(dtype).save_pretrained(folder)
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = loaded(input_ids[None]).logits[0].double()
        convert(folder, OUT / f"{name}.gguf", file_type)
    golden = {"input_ids": input_ids.tolist(),
              "logits": {str(p): [round(v, 6) for v in logits[p].tolist()] for p in POSITIONS}}
    (OUT / f"{name}.json").write_text(json.dumps(golden) + "\n")
    print(name, (OUT / f"{name}.gguf").stat().st_size)


def convert(folder, path, file_type):
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    # a converter demands a tokenizer's files; these models have none
    real = get_model_class(architecture)
    types = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16,
             "bf16": gguf.LlamaFileType.MOSTLY_BF16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
    def no_vocab(self):
        self.gguf_writer.add_tokenizer_model("none")
    for one in real.__mro__ + getattr(real, "Ministral3Model", object).__mro__:
        if "set_vocab" in vars(one):
            one.set_vocab = no_vocab
        if "modify_tensors" in vars(one) and one.__name__ == "Gemma3Model":
            # it reads the vocabulary to drop rows of the embedding
            def shifted(self, data, key, bid):
                yield from super(one_gemma, self).modify_tensors(data + self.norm_shift(key), key, bid)
            one_gemma = one
            one.modify_tensors = shifted
    model = real(folder, types[file_type], path)
    model.write()


OUT.mkdir(exist_ok=True)
make("llama-bias", LlamaConfig(**BASE, attention_bias=True, rope_parameters=PLAIN))
make("llama-3", LlamaConfig(**{**BASE, "tie_word_embeddings": True}, head_dim=16, rope_parameters={
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32}), dtype=torch.bfloat16, file_type="bf16")
make("llama-linear", LlamaConfig(**BASE, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}),
     dtype=torch.float16, file_type="f16")
make("mistral", MistralConfig(**BASE, sliding_window=None, rope_parameters=PLAIN), dtype=torch.bfloat16, file_type="bf16")
make("ministral-3", Ministral3Config(**BASE, head_dim=16, rope_parameters={
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 16, "beta_fast": 32.0,
    "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}))
make("qwen2", Qwen2Config(**BASE, rope_parameters={"rope_type": "default", "rope_theta": 1e6}), dtype=torch.bfloat16,
     file_type="bf16")
make("qwen3-yarn", Qwen3Config(**BASE, head_dim=16, rope_parameters={
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}))
make("qwen3-moe", Qwen3MoeConfig(**BASE, head_dim=16, moe_intermediate_size=24, num_experts=6, num_experts_per_tok=2,
                                 norm_topk_prob=True, rope_parameters=PLAIN))
make("smollm3", SmolLM3Config(**{**BASE, "num_hidden_layers": 5}, rope_parameters={"rope_type": "default", "rope_theta": 5e4},
                              pad_token_id=None, bos_token_id=None, eos_token_id=None), dtype=torch.bfloat16, file_type="bf16")
make("phi3-longrope", Phi3Config(
    **BASE, pad_token_id=None, bos_token_id=None, eos_token_id=None, original_max_position_embeddings=48, rope_parameters={
        "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75, "short_factor": [1.0, 1.1, 1.3],
        "long_factor": [1.5, 2.0, 4.0], "original_max_position_embeddings": 48}))
make("gemma3", Gemma3TextConfig(
    **{**BASE, "num_hidden_layers": 7, "tie_word_embeddings": True}, head_dim=16, sliding_window=12, query_pre_attn_scalar=16,
    pad_token_id=None, bos_token_id=None, eos_token_id=None, rope_parameters={
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}), dtype=torch.bfloat16, file_type="bf16")
