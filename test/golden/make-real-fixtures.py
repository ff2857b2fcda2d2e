"""Writes real-models.json: what Python makes of published GGUF files that tests fetch (scripts/fetch-test-models.mjs).

    pip install torch transformers==5.24 gguf==0.19.0
    python test/golden/make-real-fixtures.py node_modules/.cache/lessismore-test-models/smollm2.gguf

`tensors` is the SHA-256 over all tensors in the file's order, as the `gguf` package decodes them to f32; `logits` holds
every 97th logit at the last position, as `transformers` computes them in f32 with the decoded weights.
"""
import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

EVERY = 97
path = pathlib.Path(__file__).with_name("real-models.json")
result = json.loads(path.read_text()) if path.exists() else {}
for file in map(pathlib.Path, sys.argv[1:]):
    digest = hashlib.sha256()
    for tensor in gguf.GGUFReader(file).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager").eval()
    torch.manual_seed(1)
    ids = torch.randint(0, model.config.vocab_size, (24,))
    with torch.no_grad():
        logits = model(ids[None]).logits[0, -1, ::EVERY]
    result[file.name] = {"tensors": digest.hexdigest(), "input_ids": ids.tolist(), "every": EVERY,
                         "logits": [round(v, 5) for v in logits.double().tolist()]}
path.write_text(json.dumps(result) + "\n")
