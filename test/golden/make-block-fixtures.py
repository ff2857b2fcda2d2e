"""Writes blocks.json: random blocks of GGUF's quantised formats and their values as the `gguf` Python package decodes them.

    pip install gguf==0.19.0 && python test/golden/make-block-fixtures.py

The first blocks of a format have special scales (zeros, subnormals, infinities, NaN, the largest); the rest are random
bytes. `values` is the SHA-256 of the f32 values, NaN as 0x7fc00000; `last` holds the values of the last block.
"""
import base64
import hashlib
import json
import pathlib

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

# format: offsets of the f16 scales in a block
SCALES = {
    "q8_0": [0], "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "iq4_nl": [0],
    "q3_k": [108], "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208],
}
SPECIAL = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01]


def canonical(values: np.ndarray) -> bytes:
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).copy()
    bits[np.isnan(values.ravel()).reshape(bits.shape)] = 0x7FC00000
    return bits.astype("<u4").tobytes()


result = {}
for seed, (name, offsets) in enumerate(SCALES.items()):
    qtype = GGMLQuantizationType[name.upper()]
    _, block_bytes = GGML_QUANT_SIZES[qtype]
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (len(SPECIAL) + 9, block_bytes), dtype=np.uint8)
    for at in offsets:
        # blocks of plain bytes: finite scales, so that a wrong code cannot hide behind NaN
        blocks[len(SPECIAL):, at + 1] &= 0xBF
    for i, bits in enumerate(SPECIAL):
        for field, at in enumerate(offsets):
            value = bits if field == i % len(offsets) else SPECIAL[(i * 5 + 3) % len(SPECIAL)]
            blocks[i, at : at + 2] = np.frombuffer(np.uint16(value).tobytes(), dtype=np.uint8)
    with np.errstate(all="ignore"):
        values = quants.dequantize(blocks, qtype)
    result[name] = {
        "blocks": base64.b64encode(blocks.tobytes()).decode(),
        "values": hashlib.sha256(canonical(values)).hexdigest(),
        "last": base64.b64encode(canonical(values[-1])).decode(),
    }
path = pathlib.Path(__file__).with_name("blocks.json")
path.write_text(json.dumps(result, indent=1) + "\n")
print(path, path.stat().st_size)
