"""The same GGUF files in ours, in llama.cpp and in transformers: logits, greedy text and perplexity.

    pip install -r llama_cpp_requirements.txt "transformers>=5.24" torch
    npm run setup
    python gguf_exactness.py MODEL.gguf … [--text FILE] [--out FILE.json]

For each file:
- NMSE of the logits of a text's first tokens against transformers with the file's weights decoded to f32, of ours and of
  llama.cpp's own. llama.cpp rounds activations to 8 bits and keys and values to 16, so its own NMSE is the noise with which
  its texts are to be compared.
- Greedy continuations of PROMPTS in ours and in llama.cpp up to the first token at which they differ, and there the margin of the two
  best logits of each side. It is a near-tie if ours is within NEAR_TIE standard deviations of both sides' errors, which the
  logits above give.
- Perplexity of the text on the same token ids in the same windows: each window begins anew (with BOS where the vocabulary
  asks for it), and all its tokens from the second on count. In ours, in transformers with the decoded weights, and in llama.cpp
  three times: with the file and its defaults; with the file and a cache of f32; and with the file's weights decoded to F32 by
  its own quantiser, which rounds no activations. Differences have the standard error of the mean over tokens, paired.

Right is what transformers computes: the perplexity to PERPLEXITY_TOLERANCE. The difference from llama.cpp's has a target,
PERPLEXITY_TARGET, with the file and with the decoded one.

The token ids are llama.cpp's; that ours are the same is tested in test/golden.
"""

import ctypes
import hashlib
import json
import math
import pathlib
import tempfile

import llama_cpp
import numpy as np
import torch
import transformers

from peer_run import ROOT, Ours, describe_run, llama_model, parser_of, types_of, write_report

NMSE_TARGET = 1e-3
PERPLEXITY_TARGET = 0.005
PERPLEXITY_TOLERANCE = 1e-4
NEAR_TIE = 3
PROMPTS = [
    "The capital of France is",
    "To make a cup of tea, first boil the water. Then",
    "def fibonacci(n):\n    \"\"\"Returns the n-th Fibonacci number.\"\"\"\n",
    "Once upon a time there was a small robot who lived in a lighthouse. Every evening",
]


class OurOutputs(Ours):
    """A process of bench/peers/model-outputs.ts."""

    def __init__(self, options, model):
        opened = {"model": str(model.resolve()), "threads": options.threads, "dtype": "own"}
        opened |= {"backend": options.backend, "contextLength": 2 * options.window}
        if options.backend == "reference":
            del opened["threads"]
        super().__init__(options.node, "model-outputs.js", opened)

    def logits(self, ids):
        with tempfile.NamedTemporaryFile(suffix=".f32") as file:
            self.ask({"tokenIds": ids, "logits": file.name})
            return np.fromfile(file.name, dtype=np.float32).reshape(len(ids), -1)


class LlamaCpp:
    def __init__(self, options, model, **settings):
        self.model = llama_model(
            model, options.threads, options.window, n_batch=options.window, logits_all=True, **settings
        )

    def logits(self, ids):
        self.model.reset()
        self.model.eval(ids)
        return self.model.scores[: len(ids)]

    def greedy(self, ids, count):
        """The tokens and the logits that each was taken from."""
        rows = [self.logits(ids)[-1].copy()]
        tokens = [int(rows[-1].argmax())]
        while len(tokens) < count:
            self.model.eval([tokens[-1]])
            rows.append(self.model.scores[self.model.n_tokens - 1].copy())
            tokens.append(int(rows[-1].argmax()))
        return tokens, rows


def decode_file(model, out, threads):
    """Writes the file's weights as F32, by llama.cpp's quantiser."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = llama_cpp.LLAMA_FTYPE_ALL_F32, True, threads
    status = llama_cpp.llama_model_quantize(str(model).encode(), str(out).encode(), ctypes.byref(params))
    if status != 0 or set(types_of(out)) != {"F32"}:
        raise SystemExit(f"decoding {model}: llama_model_quantize answered {status} and left {dict(types_of(out))}")


class Decoded:
    """transformers in f32 with the file's weights decoded."""

    def __init__(self, model):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            model.parent, gguf_file=model.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    def logits(self, ids):
        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].numpy()


def nats_of(logits, ids):
    """Of each token from the second on, minus the log of its probability."""
    rows = torch.from_numpy(logits[:-1])
    return torch.nn.functional.cross_entropy(rows, torch.tensor(ids[1:]), reduction="none").double().tolist()


def nmse(values, right):
    values, right = values.astype(np.float64), right.astype(np.float64)
    return float(np.square(values - right).sum() / np.square(right).sum())


def margin(row):
    best, second = np.sort(row)[-1:-3:-1]
    return round(float(best - second), 4)


def compare_greedy(ours, theirs, prompts, count, noise):
    """Of each prompt: how many tokens agree and, where they end, the margins of both. noise: of a logit."""
    results = []
    for ids in prompts:
        mine = ours.ask({"tokenIds": ids, "maxTokens": count})["tokenIds"]
        tokens, rows = theirs.greedy(ids, count)
        same = next((i for i, (a, b) in enumerate(zip(mine, tokens)) if a != b), count)
        result = {"promptTokens": len(ids), "same": same, "of": count}
        if same < count:
            own = ours.logits(ids + mine[:same])[-1]
            result |= {"oursMargin": margin(own), "llamaCppMargin": margin(rows[same])}
            result["isNearTie"] = result["oursMargin"] <= NEAR_TIE * noise
        results.append(result)
    return results


def windows_of(theirs, text, options):
    """Token ids of the text in windows, each with BOS where the vocabulary adds it."""
    ids = theirs.model.tokenize(text.encode(), add_bos=False, special=False)[: options.tokens]
    start = theirs.model.tokenize(b"", add_bos=True, special=False)
    step = options.window - len(start)
    return [start + ids[i : i + step] for i in range(0, len(ids), step) if len(ids) - i > step // 2]


def nats_of_file(windows, model, options, **settings):
    """Of llama.cpp with a file opened for this alone."""
    peer = LlamaCpp(options, model, **settings)
    nats = [value for window in windows for value in nats_of(peer.logits(window), window)]
    peer.model.close()
    return nats


def difference(own, peer):
    """Of perplexities, relative, with the standard error that the tokens of the text leave."""
    gaps = np.subtract(own, peer)
    value = math.exp(gaps.mean()) - 1
    return {"value": value, "standardError": float(gaps.std(ddof=1) / math.sqrt(len(gaps))), "isWithinTarget": abs(value) < PERPLEXITY_TARGET}


def perplexities(ours, theirs, decoded, windows, model, options):
    """Fields of a row. `theirs` is open with the file."""
    nats = {
        "ours": [value for window in windows for value in ours.ask({"tokenIds": window})["nats"]],
        "transformers": [value for window in windows for value in nats_of(decoded.logits(window), window)],
        "llamaCpp": [value for window in windows for value in nats_of(theirs.logits(window), window)],
    }
    f32 = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    nats["llamaCppF32Cache"] = nats_of_file(windows, model, options, **f32)
    with tempfile.TemporaryDirectory(prefix="lessismore-decoded-") as scratch:
        plain = pathlib.Path(scratch) / "decoded.gguf"
        decode_file(model, plain, options.threads)
        nats["llamaCppDecoded"] = nats_of_file(windows, plain, options)
    own = nats["ours"]
    return {
        "tokens": len(own),
        "perplexity": {name: math.exp(np.mean(values)) for name, values in nats.items()},
        "difference": {name: difference(own, values) for name, values in nats.items() if name != "ours"},
    }


def compare(model, text, options):
    ours, theirs = OurOutputs(options, model), LlamaCpp(options, model)
    windows = windows_of(theirs, text, options)
    first = windows[0][: options.logits_tokens]
    decoded = Decoded(model)
    right = decoded.logits(first)
    row = {"model": model.name, "elements": dict(types_of(model)), "kept": ours.about["model"]["weights"]["formats"]}
    row["logitsTokens"] = len(first)
    own, peer = ours.logits(first), theirs.logits(first)
    row["nmse"], row["llamaCppNmse"] = nmse(own, right), nmse(peer, right)
    noise = math.hypot((own - right).std(), (peer - right).std())
    row["logitNoise"] = round(noise, 5)
    prompts = [theirs.model.tokenize(prompt.encode(), add_bos=True, special=False) for prompt in PROMPTS]
    row["greedy"] = compare_greedy(ours, theirs, prompts, options.greedy, noise)
    row |= perplexities(ours, theirs, decoded, windows, model, options)
    row["isRight"] = bool(
        row["nmse"] < NMSE_TARGET
        and abs(row["difference"]["transformers"]["value"]) < PERPLEXITY_TOLERANCE
        and all(one.get("isNearTie", True) for one in row["greedy"])
    )
    about = ours.about
    ours.close()
    theirs.model.close()
    return about, row


def percent(one):
    verdict = "met" if one["isWithinTarget"] else "missed"
    return f"{100 * one['value']:+.2f} ± {100 * one['standardError']:.2f}, {verdict}"


def print_row(row):
    greedy = ", ".join(
        f"all {one['of']}" if one["same"] == one["of"] else f"{one['same']} ({one['oursMargin']:.2f})" for one in row["greedy"]
    )
    perplexity, gap = row["perplexity"], row["difference"]
    cells = [row["model"], f"{row['nmse']:.1e}", f"{row['llamaCppNmse']:.1e}", greedy]
    cells += [f"{perplexity[name]:.3f}" for name in ["ours", "transformers", "llamaCpp", "llamaCppF32Cache", "llamaCppDecoded"]]
    cells += [percent(gap["llamaCpp"]), percent(gap["llamaCppDecoded"]), "right" if row["isRight"] else "WRONG"]
    print(f"| {' | '.join(cells)} |", flush=True)


def parse_options():
    parser = parser_of(__doc__)
    parser.add_argument("models", type=pathlib.Path, nargs="+", help="GGUF files")
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "ARCHITECTURE.md")
    parser.add_argument("--tokens", type=int, default=2048, help="of the text, for perplexity")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--logits-tokens", type=int, default=64)
    parser.add_argument("--greedy", type=int, default=48, help="tokens of a continuation")
    parser.add_argument("--backend", default="wasm", choices=["wasm", "reference"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--add", action="store_true", help="to the rows that --out has of the same commit and settings")
    return parser.parse_args()


SETTINGS = ["commit", "cpu", "system", "node", "llamaCpp", "backend", "textSha256", "window", "threads", "torch", "transformers"]


def with_rows_before(run, rows, out):
    """The report with the rows that the file has. Rows of other settings do not belong in one table."""
    before = json.loads(out.read_text()) if out.exists() else {"run": run, "rows": []}
    others = [name for name in SETTINGS if before["run"][name] != run[name]]
    if others:
        raise SystemExit(f"adding to {out}: it was made with other {', '.join(others)}")
    names = {row["model"] for row in rows}
    return {"run": run, "rows": [row for row in before["rows"] if row["model"] not in names] + rows}


def main():
    options = parse_options()
    transformers.utils.logging.disable_progress_bar()
    text = options.text.read_text()
    torch.set_num_threads(options.threads)
    heads = ["file", "NMSE, ours", "NMSE, llama.cpp", "same greedy tokens (our margin)", "perplexity: ours", "transformers"]
    heads += ["llama.cpp", "llama.cpp, f32 cache", "llama.cpp, decoded file", "ours from llama.cpp, %", "from decoded, %", ""]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    about, rows = {}, []
    for model in options.models:
        about, row = compare(model, text, options)
        rows.append(row)
        print_row(row)
    run = describe_run(about) | {
        "backend": options.backend,
        "text": options.text.name,
        "textSha256": hashlib.sha256(text.encode()).hexdigest(),
        "window": options.window,
        "threads": options.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    report = {"run": run, "rows": rows}
    write_report(with_rows_before(run, rows, options.out) if options.add else report, options.out)


if __name__ == "__main__":
    main()
