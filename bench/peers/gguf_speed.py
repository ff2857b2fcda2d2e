"""One GGUF file in llama.cpp and in ours, on this machine's processor, in turn: decode, prefill and cold start.

    pip install -r llama_cpp_requirements.txt        # builds llama.cpp, some minutes
    npm run setup
    python gguf_speed.py MODEL.gguf … [--threads 1,2] [--context 512,4096,7900] [--out FILE.json]
    python gguf_speed.py --quick MODEL.gguf          # what has a target, in less than four minutes

Ours runs through the public API on the WASM backend, with its defaults; it draws each token and hands it to the caller.
llama.cpp's side is `eval` alone, with the defaults of llama-cpp-python. Each prefills a prompt once; then rounds of a few
tokens alternate while the other process waits in a read, so that a ratio holds where the machine is shared. The median of
`decode` is of the rounds' medians. Cold start is from the start of a process to its first token of a prompt of 32 tokens:
`lessismore generate` beside a Python process that imports `llama_cpp` and nothing else.

Ratios are ours over llama.cpp's, in speed: above 1 ours is faster. Targets stand in TARGETS.
"""

import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from peer_run import ROOT, Ours, describe_run, llama_model, numbers, parser_of, types_of, write_report

SETTLING_TOKENS = 4
SPARE_TOKENS = 128
COLD_TOKENS = 32
SPARSE = "less-is-more:budget=512,layers=2+18"
DECODE_TARGETS = {(512, "full"): 1.0, (4096, SPARSE): 1.2, (7900, SPARSE): 1.5}
PREFILL_TARGET = 0.7
COLD_TARGET = 1.0


class OurRounds(Ours):
    """A process of bench/peers/alternated-requests.ts."""

    def __init__(self, options, model, threads, context):
        opened = {"model": str(model.resolve()), "threads": threads, "contextLength": context, "dtype": "own"}
        super().__init__(options.node, "alternated-requests.js", opened)

    def prefill(self, context, attention, options):
        asked = {"context": context, "attention": attention, "rounds": options.rounds, "steps": options.steps}
        return self.ask(asked)["prefillMs"]

    def round(self):
        return self.ask(None)["stepMs"]

    def warm(self, attention):
        """The JavaScript engine compiles."""
        self.ask({"context": 64, "attention": attention, "rounds": 1, "steps": 24})
        self.round()


class LlamaCpp:
    def __init__(self, model, threads, context):
        self.model = llama_model(model, threads, context)
        self.model.eval(list(range(5, 37)))

    def prefill(self, context):
        self.model.reset()
        ids = [(i * 7919) % 40000 + 5 for i in range(context)]
        started = time.perf_counter()
        self.model.eval(ids)
        return (time.perf_counter() - started) * 1000

    def round(self, steps):
        times = []
        for i in range(SETTLING_TOKENS + steps):
            started = time.perf_counter()
            self.model.eval([(i * 31) % 40000 + 7])
            times.append((time.perf_counter() - started) * 1000)
        return times[SETTLING_TOKENS:]

    def close(self):
        self.model.close()


def summary(context, prefill_ms, rounds):
    steps = sorted(ms for times in rounds for ms in times)
    return {
        "msPerToken": round(statistics.median(statistics.median(times) for times in rounds), 3),
        "leastMs": round(steps[0], 3),
        "p99Ms": round(steps[min(len(steps) - 1, math.ceil(len(steps) * 0.99) - 1)], 3),
        "prefillTokensPerSecond": round(context / prefill_ms * 1000, 1),
    }


def judged(ratio, target):
    """The fields of a ratio that has a target."""
    return {"ratio": round(ratio, 3), "target": target, "met": None if target is None else ratio >= target}


def cells_of(options, threads):
    """Pairs of context and attention to measure."""
    if not options.quick:
        return [(c, a) for c in options.context for a in ["full", SPARSE] if (c, a) != (512, SPARSE)]
    longest = threads == max(options.threads)
    return [cell for cell in DECODE_TARGETS if cell[0] in options.context and (longest or cell[0] <= 4096)]


def compare(model, threads, options):
    """Rows of one file and number of threads."""
    length = max(options.context) + SPARE_TOKENS + options.rounds * (options.steps + SETTLING_TOKENS)
    ours, theirs = OurRounds(options, model, threads, length), LlamaCpp(model, threads, length)
    for attention in ["full", SPARSE]:
        ours.warm(attention)
    rows, last = [], None
    for context, attention in cells_of(options, threads):
        mine, peer = ours.prefill(context, attention, options), theirs.prefill(context) if context != last else peer
        last = context
        rounds = [(ours.round(), theirs.round(options.steps)) for _ in range(options.rounds)]
        one = summary(context, mine, [own for own, _ in rounds])
        other = summary(context, peer, [their for _, their in rounds])
        row = {"model": model.name, "threads": threads, "context": context, "attention": attention}
        row |= {"ours": one, "llamaCpp": other}
        row["decode"] = judged(other["msPerToken"] / one["msPerToken"], DECODE_TARGETS.get((context, attention)))
        row["prefill"] = judged(peer / mine, PREFILL_TARGET if is_8_bit(model) else None)
        rows.append(row)
        print_row(row)
    ours.close()
    theirs.close()
    return ours.about, rows


def best_of_threads(rows):
    """Decode at each side's best number of threads, for each cell."""
    best = []
    for key in dict.fromkeys((row["model"], row["context"], row["attention"]) for row in rows):
        cell = [row for row in rows if (row["model"], row["context"], row["attention"]) == key]
        if len(cell) < 2:
            continue
        mine = min(row["ours"]["msPerToken"] for row in cell)
        peer = min(row["llamaCpp"]["msPerToken"] for row in cell)
        model, context, attention = key
        row = {"model": model, "context": context, "attention": attention, "oursMs": mine, "llamaCppMs": peer}
        best.append(row | {"decode": judged(peer / mine, DECODE_TARGETS.get((context, attention)))})
    return best


def is_8_bit(model):
    return types_of(model).most_common(1)[0][0] == "Q8_0"


PEER_COLD = """
import sys, time
import llama_cpp
imported = time.time()
model = llama_cpp.Llama(sys.argv[1], n_ctx=2048, n_threads=int(sys.argv[2]), n_threads_batch=int(sys.argv[2]), verbose=False)
model.eval([int(id) for id in sys.argv[3].split(",")])
print(model.sample(temp=0), imported, flush=True)
"""


def first_output(command):
    """Milliseconds from the start of a process to its first line, the line, and when it started."""
    started = time.time()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = child.stdout.readline()
    ms = (time.time() - started) * 1000
    child.stdout.read()
    if child.wait(timeout=60) != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    return ms, line, started


def cold_start(model, threads, options):
    """Medians of processes in turn, after one of each that puts the files into the system's cache."""
    ids = [(i * 7919) % 40000 + 5 for i in range(COLD_TOKENS)]
    mine, peers, imports = [], [], []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prompt:
        json.dump(ids, prompt)
        prompt.flush()
        ours = [options.node, str(ROOT / "dist/cli/main.js"), "generate", "-m", str(model), "--dtype", "own"]
        ours += ["--backend", "wasm", "--threads", str(threads), "--context-length", "2048", "--temperature", "0"]
        ours += ["--token-ids", prompt.name, "--max-tokens", "1", "--ignore-eos", "--json"]
        theirs = [sys.executable, "-c", PEER_COLD, str(model), str(threads), ",".join(map(str, ids))]
        for _ in range(options.cold_runs + 1):
            mine.append(first_output(ours)[0])
            ms, line, started = first_output(theirs)
            peers.append(ms)
            imports.append((float(line.split()[1]) - started) * 1000)
    one, other, imported = (statistics.median(times[1:]) for times in (mine, peers, imports))
    row = {"model": model.name, "threads": threads, "oursMs": round(one, 1), "llamaCppMs": round(other, 1)}
    row |= {"llamaCppImportMs": round(imported, 1), "coldStart": judged(other / one, COLD_TARGET)}
    print(
        f"{model.name}, {threads} threads, cold start: ours {one:.0f} ms, llama.cpp {other:.0f} ms, of which Python's imports "
        f"{imported:.0f} ms: {verdict(row['coldStart'])}",
        flush=True,
    )
    return row


def verdict(result):
    text = f"{result['ratio']:.2f}"
    return text if result["met"] is None else f"{text} ({'met' if result['met'] else 'missed'}, {result['target']})"


def print_row(row):
    mine, peer = row["ours"], row["llamaCpp"]
    print(
        f"{row['model']:24} {row['threads']:7} {row['context']:7} {row['attention'][:12]:12} {mine['msPerToken']:8.2f} "
        f"{mine['p99Ms']:7.2f} {peer['msPerToken']:9.2f} {peer['p99Ms']:7.2f}  {verdict(row['decode']):18} "
        f"{mine['prefillTokensPerSecond']:7.0f} {peer['prefillTokensPerSecond']:7.0f}  {verdict(row['prefill'])}",
        flush=True,
    )


def parse_options():
    parser = parser_of(__doc__)
    parser.add_argument("models", type=pathlib.Path, nargs="+", help="GGUF files")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--context", type=numbers, default=[512, 4096, 7900])
    parser.add_argument("--quick", action="store_true", help="cells with a target; beyond 4096 on the most threads only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12, help="tokens measured in a round")
    parser.add_argument("--cold-runs", type=int, default=3, help="0: no cold start")
    return parser.parse_args()


def main():
    options = parse_options()
    about, rows, cold = {}, [], []
    print("model                    threads context attention     ours ms     p99 theirs ms     p99  decode             ours t/s  theirs  prefill")
    for model in options.models:
        for threads in options.threads:
            about, more = compare(model, threads, options)
            rows += more
            if options.cold_runs > 0:
                cold.append(cold_start(model, threads, options))
    best = best_of_threads(rows)
    for row in best:
        print(f"{row['model']}, {row['context']}, {row['attention']}, each at its best threads: {verdict(row['decode'])}")
    write_report({"run": describe_run(about), "rows": rows, "bestThreads": best, "coldStart": cold}, options.out)


if __name__ == "__main__":
    main()
