"""What the comparisons with other engines on this machine share: our process, how a run is described, the shape of a file."""

import argparse
import collections
import json
import pathlib
import platform
import subprocess
import sys
from datetime import datetime, timezone

import gguf
import llama_cpp

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Ours:
    """A process of a script in dist/bench/peers that opens `opened` and answers each line of JSON with one. `about` is its first."""

    def __init__(self, node, script, opened):
        command = [node, str(ROOT / "dist/bench/peers" / script), json.dumps(opened)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("our engine ended; what it said stands above")
        return json.loads(line)

    def ask(self, asked):
        """asked: what becomes a line of JSON; None is an empty line."""
        self.child.stdin.write(("" if asked is None else json.dumps(asked)) + "\n")
        self.child.stdin.flush()
        return self.read()

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=60)


def llama_model(path, threads, context, **settings):
    """llama.cpp with a model open; `settings` as of llama_cpp.Llama."""
    return llama_cpp.Llama(
        str(path), n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False, **{"n_batch": 512, **settings}
    )


def types_of(model):
    """How many elements of matrices a GGUF file has in each type."""
    counts = collections.Counter()
    for tensor in gguf.GGUFReader(model).tensors:
        if len(tensor.shape) > 1:
            counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return counts


def processor():
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    known = {key.strip(): value.strip() for key, value in fields.items()}
    name = known.get("model name", platform.processor())
    return f"{name}, family {known.get('cpu family', '?')}, model {known.get('model', '?')}"


def describe_run(about):
    """about: the first line of our process, of any one of a run."""
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": git.stdout.strip() or "unknown",
        "command": " ".join(["python", *(pathlib.Path(part).name for part in sys.argv)]),
        "cpu": processor(),
        "system": platform.platform(),
        "node": about.get("node"),
        "build": about.get("backend", {}).get("description"),
        "tuning": about.get("backend", {}).get("tuning"),
        "llamaCpp": llama_cpp.__version__,
    }


def write_report(report, out):
    """To the file `out`, or to standard output without one."""
    text = json.dumps(report, indent=1)
    if out:
        out.write_text(text + "\n")
    else:
        print(text)


def numbers(text):
    return [int(part) for part in text.split(",")]


def parser_of(description):
    """The options of every comparison."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", default="node", help="the Node that runs ours")
    parser.add_argument("--out", type=pathlib.Path, help="where the JSON goes")
    return parser
