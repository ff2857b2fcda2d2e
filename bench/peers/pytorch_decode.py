"""PyTorch on the same machine: decode attention, matrix products and whole decode steps of llama-3.1-8b at batch 1,
and steps of batches (--sequences).

    pip install -r requirements.txt
    python pytorch_decode.py > pytorch.json

Everything runs in CUDA graphs, so that the host costs nothing; unlike ours, the steps read no token back. Attention is
scaled_dot_product_attention by the fastest of its backends, which is found for each context; query heads that share a
key/value head are given by enable_gqa or as rows of one query. The matrices of q, k and v and those of gate and up are
fused. Names and units are those of `bench report`, so that `bench compare` puts both side by side.
"""

import argparse
import json
import statistics
import sys
import time
from datetime import datetime, timezone

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

LAYERS, HIDDEN, WIDE, VOCAB = 32, 4096, 14336, 128256
HEADS, KV_HEADS, HEAD_DIM = 32, 8, 128
EPS = 1e-5
DEVICE = "cuda"
WARM_UP_SECONDS = 0.1
ROUNDS = 9

BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def capture(work):
    """A CUDA graph of work(), which must use tensors that stay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def time_graph(graph, replays):
    """Milliseconds of a replay, one for each round, on a device that was kept busy before."""
    started = time.perf_counter()
    while time.perf_counter() - started < WARM_UP_SECONDS:
        graph.replay()
        torch.cuda.synchronize()
    times = []
    for _ in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        graph.replay()  # in flight when the clock starts
        start.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / replays)
    return times


def random_matrix(rows, cols, dtype):
    return torch.randn(rows, cols, device=DEVICE, dtype=dtype) * cols**-0.5


class Model:
    def __init__(self, longest, dtype, sequences=1):
        ones = torch.ones(HIDDEN, device=DEVICE, dtype=dtype)
        self.dtype = dtype
        self.embedding = random_matrix(VOCAB, HIDDEN, dtype)
        self.head = random_matrix(VOCAB, HIDDEN, dtype)
        self.norm = ones
        self.layers = [
            {
                "qkv": random_matrix((HEADS + 2 * KV_HEADS) * HEAD_DIM, HIDDEN, dtype),
                "o": random_matrix(HIDDEN, HEADS * HEAD_DIM, dtype),
                "gate_up": random_matrix(2 * WIDE, HIDDEN, dtype),
                "down": random_matrix(HIDDEN, WIDE, dtype),
                "keys": torch.randn(sequences, KV_HEADS, longest, HEAD_DIM, device=DEVICE, dtype=dtype),
                "values": torch.randn(sequences, KV_HEADS, longest, HEAD_DIM, device=DEVICE, dtype=dtype),
            }
            for _ in range(LAYERS)
        ]
        self.tokens = torch.zeros(sequences, device=DEVICE, dtype=torch.long)

    def rope_row(self, position):
        wavelengths = 500000.0 ** (torch.arange(0, HEAD_DIM, 2, device=DEVICE).float() / HEAD_DIM)
        angles = position / wavelengths
        return torch.cos(angles).repeat(2).to(self.dtype), torch.sin(angles).repeat(2).to(self.dtype)

    def feed_forward(self, layer, x):
        gate, up = F.linear(x, layer["gate_up"]).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, layer["down"])

    def step(self, context, rope, attend, sequences=1):
        """One token of the first sequences, embedding to the next token, which the step after it goes on from."""
        cos, sin = rope
        x = F.embedding(self.tokens[:sequences], self.embedding)
        for layer in self.layers:
            heads = F.linear(F.rms_norm(x, (HIDDEN,), self.norm, EPS), layer["qkv"])
            heads = heads.view(sequences, HEADS + 2 * KV_HEADS, HEAD_DIM)
            turned = heads[:, : HEADS + KV_HEADS]
            low, high = turned.chunk(2, dim=-1)
            turned = turned * cos + torch.cat((-high, low), dim=-1) * sin
            keys, values = layer["keys"][:sequences], layer["values"][:sequences]
            keys[:, :, context - 1] = turned[:, HEADS:]
            values[:, :, context - 1] = heads[:, HEADS + KV_HEADS :]
            query = turned[:, :HEADS].view(sequences, HEADS, 1, HEAD_DIM)
            attended = attend(query, keys[:, :, :context], values[:, :, :context])
            x = x + F.linear(attended.reshape(sequences, HEADS * HEAD_DIM), layer["o"])
            x = x + self.feed_forward(layer, F.rms_norm(x, (HIDDEN,), self.norm, EPS))
        logits = F.linear(F.rms_norm(x, (HIDDEN,), self.norm, EPS), self.head)
        self.tokens[:sequences].copy_(logits.argmax(dim=-1))


def attention_by(backend, heads_as_rows):
    def attend(query, keys, values):
        with sdpa_kernel(backend):
            if heads_as_rows:
                rows = query.view(query.shape[0], KV_HEADS, HEADS // KV_HEADS, HEAD_DIM)
                return F.scaled_dot_product_attention(rows, keys, values)
            return F.scaled_dot_product_attention(query, keys, values, enable_gqa=True)

    return attend


def plain_read():
    """GB/s of summing 2 GiB."""
    data = torch.ones(2**29, device=DEVICE, dtype=torch.float32)
    out = torch.zeros((), device=DEVICE)

    def work():
        torch.sum(data, dim=0, out=out)

    return 2**31 / statistics.median(time_graph(capture(work), 20)) / 1e6


def fastest_attention(model, context, sequences=1):
    """The fastest way to attend: (name, how, microseconds a layer), and the times of all that ran."""
    query = torch.randn(sequences, HEADS, 1, HEAD_DIM, device=DEVICE, dtype=model.dtype)
    best, times = None, {}
    for name, backend in BACKENDS.items():
        for heads_as_rows in (False, True):
            attend = attention_by(backend, heads_as_rows)
            way = f"{name}, {'heads as rows' if heads_as_rows else 'enable_gqa'}"

            def all_layers(attend=attend):
                for layer in model.layers:
                    keys, values = layer["keys"][:sequences], layer["values"][:sequences]
                    attend(query, keys[:, :, :context], values[:, :, :context])

            try:
                graph = capture(all_layers)
                microseconds = statistics.median(time_graph(graph, 3)) * 1000 / LAYERS
                del graph
            except RuntimeError as error:  # a backend that does not take these sizes says so by one
                print(f"{way} at {context}: {str(error).splitlines()[0]}", file=sys.stderr)
                torch.cuda.synchronize()
                continue
            times[way] = microseconds
            if best is None or microseconds < best[2]:
                best = (way, attend, microseconds)
    if best is None:
        raise SystemExit(f"no backend of scaled_dot_product_attention runs {HEADS}/{KV_HEADS} heads at {context}")
    return best, times


def matrix_kernels(model, bandwidth):
    """Matrix-vector products by kind and of a whole step."""
    size = torch.finfo(model.dtype).bits // 8
    x = torch.randn(1, HIDDEN, device=DEVICE, dtype=model.dtype)
    attended = torch.randn(1, HEADS * HEAD_DIM, device=DEVICE, dtype=model.dtype)

    def qkv(layer):
        F.linear(x, layer["qkv"])

    def o(layer):
        F.linear(attended, layer["o"])

    def feed_forward(layer):
        model.feed_forward(layer, x)

    def head():
        F.linear(x, model.head)

    def of_layers(*kinds):
        def work():
            for layer in model.layers:
                for kind in kinds:
                    kind(layer)

        return work

    def all_products():
        of_layers(qkv, o, feed_forward)()
        head()

    kinds = {
        "qkv": (HEADS + 2 * KV_HEADS) * HEAD_DIM * HIDDEN * size,
        "o": HIDDEN * HEADS * HEAD_DIM * size,
        "feed-forward": 3 * HIDDEN * WIDE * size,
        "output head": VOCAB * HIDDEN * size,
    }
    layer_bytes = kinds["qkv"] + kinds["o"] + kinds["feed-forward"]
    chains = [
        ("qkv", of_layers(qkv), LAYERS, kinds["qkv"]),
        ("o", of_layers(o), LAYERS, kinds["o"]),
        ("feed-forward", of_layers(feed_forward), LAYERS, kinds["feed-forward"]),
        ("output head", head, 1, kinds["output head"]),
        ("all matrix-vector products of a step", all_products, 1, LAYERS * layer_bytes + kinds["output head"]),
    ]
    rows = []
    for kernel, work, calls, size_bytes in chains:
        microseconds = statistics.median(time_graph(capture(work), 5)) * 1000 / calls
        rows.append(byte_figure(kernel, microseconds, size_bytes, bandwidth))
    return rows


def byte_figure(kernel, microseconds, size_bytes, bandwidth):
    rate = size_bytes / microseconds / 1000
    return {
        "kernel": kernel,
        "microseconds": microseconds,
        "bytes": size_bytes,
        "gigabytesPerSecond": rate,
        "shareOfRead": rate / bandwidth,
    }


def time_step(model, options, context, sequences, best):
    """The row of a whole step, in a CUDA graph."""
    way, attend, attention_us = best
    step = torch.compile(model.step, dynamic=False) if options.compile else model.step
    rope = model.rope_row(context - 1)

    def one_step():
        step(context, rope, attend, sequences)

    times = time_graph(capture(one_step), 10)
    row = {
        "shape": "llama-3.1-8b",
        "sequences": sequences,
        "context": context,
        "attention": "full",
        "msPerStep": statistics.median(times),
        "leastMs": min(times),
        "mostMs": max(times),
        "attentionUs": attention_us,
    }
    print(f"{sequences} at {context}: {row['msPerStep']:.3f} ms a step, attention by {way}", file=sys.stderr)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=["bf16", "f16"], default="bf16")
    parser.add_argument("--context", default="16384,32768,65536,131072", help="cached tokens, comma-separated")
    parser.add_argument("--sequences", help="also steps of so many sequences, comma-separated: 2,4,8,16,32")
    parser.add_argument("--batch-context", type=int, default=8192, help="cached tokens of each of them")
    parser.add_argument("--compile", action="store_true", help="fuse what torch.compile fuses in a step")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device; run this on the machine that is to be compared")
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    contexts = [int(context) for context in options.context.split(",")]
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[options.dtype]
    bandwidth = plain_read()
    model = Model(max(contexts), dtype)
    kernels = matrix_kernels(model, bandwidth)
    decode = []
    for context in contexts:
        (way, attend, attention_us), ways = fastest_attention(model, context)
        row_bytes = 2 * KV_HEADS * HEAD_DIM * torch.finfo(dtype).bits // 8
        figure = byte_figure(f"dense attention, {context}", attention_us, context * row_bytes, bandwidth)
        kernels.append({**figure, "by": way, "microsecondsBy": ways})
        decode.append(time_step(model, options, context, 1, (way, attend, attention_us)))
    del model
    sequences = [int(count) for count in options.sequences.split(",")] if options.sequences else []
    if sequences:
        model = Model(options.batch_context, dtype, max(sequences))
        for count in sequences:
            best, _ = fastest_attention(model, options.batch_context, count)
            decode.append(time_step(model, options, options.batch_context, count, best))
    run = {
        "date": datetime.now(timezone.utc).isoformat(),
        "command": f"python {' '.join(sys.argv)}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
    report = {
        "run": run,
        "gpu": torch.cuda.get_device_name(),
        "peer": f"PyTorch {torch.__version__}{', compiled' if options.compile else ''}, {options.dtype}",
        "readBandwidth": bandwidth,
        "kernels": kernels,
        "decode": decode,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
