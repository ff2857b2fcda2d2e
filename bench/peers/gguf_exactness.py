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
- Perplexity of the text in all three on the same token ids in the same windows: each window begins anew (with BOS where the vocabulary
  asks for it), and all its tokens from the second on count.

Right is what transformers computes: the perplexity to PERPLEXITY_TOLERANCE. The difference from llama.cpp's has a target of
its own, PERPLEXITY_TARGET, which llama.cpp's own noise alone may exceed.

The token ids are llama.cpp's; that ours are the same is tested in test/golden.
"""

import argparse
import json
import math
import pathlib
import platform
import subprocess
import tempfile
from datetime import datetime, timezone

import llama_cpp
import numpy as np
import torch
import transformers

from gguf_speed import types_of
from llama_cpp_decode import ROOT

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


class Ours:
    """A process of bench/peers/model-outputs.ts."""

    def __init__(self, options, model):
        opened = {"model": str(model.resolve()), "threads": options.threads, "dtype": "own"}
        opened |= {"backend": options.backend, "contextLength": 2 * options.window}
        if options.backend == "reference":
            del opened["threads"]
        script = ROOT / "dist/bench/peers/model-outputs.js"
        command = [options.node, str(script), json.dumps(opened)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("our engine ended; what it said stands above")
        return json.loads(line)

    def ask(self, **asked):
        self.child.stdin.write(json.dumps(asked) + "\n")
        self.child.stdin.flush()
        return self.read()

    def logits(self, ids):
        with tempfile.NamedTemporaryFile(suffix=".f32") as file:
            self.ask(tokenIds=ids, logits=file.name)
            return np.fromfile(file.name, dtype=np.float32).reshape(len(ids), -1)

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=60)


class LlamaCpp:
    def __init__(self, options, model):
        threads = {"n_threads": options.threads, "n_threads_batch": options.threads}
        self.model = llama_cpp.Llama(
            str(model), n_ctx=options.window, n_batch=options.window, logits_all=True, verbose=False, **threads
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
        mine = ours.ask(tokenIds=ids, maxTokens=count)["tokenIds"]
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


def compare(model, text, options):
    ours, theirs = Ours(options, model), LlamaCpp(options, model)
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
    own = [value for window in windows for value in ours.ask(tokenIds=window)["nats"]]
    peer = [value for window in windows for value in nats_of(theirs.logits(window), window)]
    exact = [value for window in windows for value in nats_of(decoded.logits(window), window)]
    row["perplexityTokens"] = len(own)
    row["perplexity"] = math.exp(np.mean(own))
    row["llamaCppPerplexity"] = math.exp(np.mean(peer))
    row["transformersPerplexity"] = math.exp(np.mean(exact))
    row["perplexityDifference"] = row["perplexity"] / row["llamaCppPerplexity"] - 1
    row["isWithinTarget"] = bool(abs(row["perplexityDifference"]) < PERPLEXITY_TARGET)
    row["isRight"] = bool(
        row["nmse"] < NMSE_TARGET
        and abs(row["perplexity"] / row["transformersPerplexity"] - 1) < PERPLEXITY_TOLERANCE
        and all(one.get("isNearTie", True) for one in row["greedy"])
    )
    ours.close()
    theirs.model.close()
    return row


def print_row(row):
    greedy = ", ".join(
        f"{one['same']}" + (f" ({one['llamaCppMargin']:.3f})" if one["same"] < one["of"] else "") for one in row["greedy"]
    )
    print(
        f"| {row['model']} | {row['nmse']:.1e} | {row['llamaCppNmse']:.1e} | {greedy} | {row['perplexity']:.4f} | "
        f"{row['llamaCppPerplexity']:.4f} | {100 * row['perplexityDifference']:+.3f} % ({'met' if row['isWithinTarget'] else 'missed'}) | "
        f"{row['transformersPerplexity']:.4f} | {'right' if row['isRight'] else 'WRONG'} |",
        flush=True,
    )


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, nargs="+", help="GGUF files")
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "ARCHITECTURE.md")
    parser.add_argument("--tokens", type=int, default=4096, help="of the text, for perplexity")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--logits-tokens", type=int, default=64)
    parser.add_argument("--greedy", type=int, default=64, help="tokens of a continuation")
    parser.add_argument("--backend", default="wasm", choices=["wasm", "reference"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--node", default="node", help="the Node that runs ours")
    parser.add_argument("--out", type=pathlib.Path, help="where the JSON goes")
    return parser.parse_args()


def main():
    options = parse_options()
    transformers.utils.logging.disable_progress_bar()
    text = options.text.read_text()
    print("| file | NMSE, ours | NMSE, llama.cpp | same greedy tokens (margin) | perplexity, ours | llama.cpp | difference | transformers | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for model in options.models:
        rows.append(compare(model, text, options))
        print_row(rows[-1])
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    run = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git.stdout.strip() or "unknown",
        "backend": options.backend,
        "text": options.text.name,
        "window": options.window,
        "system": platform.platform(),
        "llamaCpp": llama_cpp.__version__,
        "transformers": transformers.__version__,
    }
    if options.out:
        options.out.write_text(json.dumps({"run": run, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
