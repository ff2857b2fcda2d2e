"""llama.cpp beside ours on this machine's processor, in turn: prefill and decode of one model with 16-bit weights.

    pip install -r llama_cpp_requirements.txt        # builds llama.cpp, some minutes
    npm run setup
    python llama_cpp_decode.py [--model FOLDER] [--threads 1,2] [--context 512,4096] [--out FILE.json]

FOLDER is a Llama checkpoint as Hugging Face keeps them, in 16 bits; without one, random weights in the sizes of
SmolLM2-135M are made in a temporary folder. Ours reads the folder through the public API, with its defaults. llama.cpp
reads a GGUF file of the same weights in F16, which is made beside it in the temporary folder (or --gguf names one).
Every round runs both, one after the other, so that a ratio holds where the machine is shared. Milliseconds are of one
token; `decode` and `prefill` are our speed over llama.cpp's. Ours draws each token and hands it to the caller;
llama.cpp's side is `eval` alone.
"""

import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import gguf
import numpy as np

from peer_run import ROOT, Ours, describe_run, llama_model, numbers, parser_of, write_report

SETTLING_TOKENS = 8
BYTES = {"F32": 4, "BF16": 2, "F16": 2}


def tensors_of(folder):
    """Name and f32 values of every tensor of the folder's safetensors files."""
    for path in sorted(folder.glob("*.safetensors")):
        data = np.memmap(path, dtype=np.uint8, mode="r")
        size = int(data[:8].view(np.uint64)[0])
        for name, entry in json.loads(bytes(data[8 : 8 + size])).items():
            if name == "__metadata__":
                continue
            first, last = entry["data_offsets"]
            raw = np.array(data[8 + size + first : 8 + size + last])
            if entry["dtype"] == "BF16":
                values = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            elif entry["dtype"] in BYTES:
                values = raw.view(np.float16 if entry["dtype"] == "F16" else np.float32).astype(np.float32)
            else:
                raise SystemExit(f"{path}: {name} is {entry['dtype']}; expected 16 or 32 bits")
            yield name, values.reshape(entry["shape"])


def interleaved(rows, heads):
    """Rows of q or k in llama.cpp's order: it rotates neighbours, Hugging Face halves."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(folder, path):
    """The folder's weights as F16 (vectors as F32) in a GGUF file without a vocabulary: token ids are all it takes."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "llama":
        raise SystemExit(f"{folder}: model_type {config['model_type']}; this script converts llama, or give --gguf")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("none")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, values in tensors_of(folder):
        if name.endswith("q_proj.weight"):
            values = interleaved(values, heads)
        if name.endswith("k_proj.weight"):
            values = interleaved(values, kv_heads)
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(theirs, values if values.ndim == 1 else values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run_ours(ours, context, steps, attention):
    answer = ours.ask({"context": context, "steps": steps, "attention": attention})
    return answer["prefillMs"], answer["stepMs"] or [answer["msPerToken"]]


class LlamaCpp:
    def __init__(self, path, threads, context):
        self.model = llama_model(path, threads, context)

    def run(self, context, steps):
        ids = [(i * 7919) % 40000 + 5 for i in range(context)]
        self.model.reset()
        started = time.perf_counter()
        self.model.eval(ids)
        prefill = time.perf_counter() - started
        times = []
        for i in range(steps + SETTLING_TOKENS):
            started = time.perf_counter()
            self.model.eval([(i * 31) % 40000 + 7])
            times.append((time.perf_counter() - started) * 1000)
        return prefill * 1000, times[SETTLING_TOKENS:]

    def close(self):
        self.model.close()


def summary(context, runs):
    """Medians over rounds of what each round's tokens and prefill took."""
    steps = sorted(ms for _, times in runs for ms in times)
    return {
        "msPerToken": round(statistics.median(statistics.median(times) for _, times in runs), 3),
        "leastMs": round(steps[0], 3),
        "p99Ms": round(steps[min(len(steps) - 1, int(len(steps) * 0.99))], 3),
        "prefillTokensPerSecond": round(context / statistics.median(ms for ms, _ in runs) * 1000, 1),
    }


def compare(model, gguf_path, threads, options):
    length = max(options.context) + options.steps + 32
    opened = {"model": str(model), "threads": threads, "contextLength": length}
    ours = Ours(options.node, "timed-requests.js", opened)
    theirs = LlamaCpp(gguf_path, threads, length)
    rows = []
    for context in options.context:
        runs = {name: [] for name in [*options.attention, "llama.cpp"]}
        for attention in options.attention:
            run_ours(ours, 64, 24, attention)  # the JavaScript engine compiles
        for _ in range(options.rounds):
            for attention in options.attention:
                runs[attention].append(run_ours(ours, context, options.steps, attention))
            runs["llama.cpp"].append(theirs.run(context, options.steps))
        peer = summary(context, runs["llama.cpp"])
        for attention in options.attention:
            mine = summary(context, runs[attention])
            row = {"threads": threads, "context": context, "attention": attention, "ours": mine, "llamaCpp": peer}
            row["decode"] = round(peer["msPerToken"] / mine["msPerToken"], 3)
            row["prefill"] = round(mine["prefillTokensPerSecond"] / peer["prefillTokensPerSecond"], 3)
            rows.append(row)
            print(
                f"{threads:7} {context:8} {mine['msPerToken']:8.2f} {mine['p99Ms']:8.2f} {peer['msPerToken']:9.2f} "
                f"{peer['p99Ms']:8.2f} {row['decode']:7.2f} {mine['prefillTokensPerSecond']:9.0f} "
                f"{peer['prefillTokensPerSecond']:9.0f} {row['prefill']:8.2f}  {attention}",
                flush=True,
            )
    ours.close()
    theirs.close()
    return ours.about, rows


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--model", type=pathlib.Path, help="a Llama checkpoint; default: random weights")
    parser.add_argument("--gguf", type=pathlib.Path, help="its weights in F16; default: made from the checkpoint")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--context", type=numbers, default=[512, 4096])
    parser.add_argument("--attention", action="append", help="specs of ours; may be given more than once")
    parser.add_argument("--steps", type=int, default=32, help="tokens measured a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.attention = options.attention or ["full", "less-is-more:budget=512,layers=2+18"]
    with tempfile.TemporaryDirectory(prefix="lessismore-peer-") as scratch:
        model, gguf_path = options.model, options.gguf
        if model is None:
            model = pathlib.Path(scratch) / "checkpoint"
            main_script = ROOT / "dist/bench/main.js"
            subprocess.run([options.node, str(main_script), "checkpoint", str(model)], check=True)
        if gguf_path is None:
            gguf_path = pathlib.Path(scratch) / "model.gguf"
            write_gguf(model, gguf_path)
        print("threads  context  ours ms  p99 ms  theirs ms   p99 ms  decode  ours t/s theirs t/s  prefill  attention")
        about, rows = {}, []
        for threads in options.threads:
            about, more = compare(model, gguf_path, threads, options)
            rows += more
    run = describe_run(about) | {"weights": "random" if options.model is None else options.model.name}
    write_report({"run": run, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
