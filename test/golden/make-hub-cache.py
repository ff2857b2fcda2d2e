"""Records what Python's huggingface_hub does with the cache that both share: test/hub/python-cache.json.

Run after `npm run setup`:  python test/golden/make-hub-cache.py
It needs huggingface_hub 2.4 and filelock, and no network: the hub is test/hub/serve.ts, a server on this machine.
Checks on the way, with both programs: what one fetched is found by the other with the hub gone; a lock that one holds
keeps the other waiting; Python finds what may be removed of a download that was cut.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "test/hub/python-cache.json"
MAIN = ROOT / "dist/cli/main.js"
REPO = "org/model"


def tree(folder: pathlib.Path) -> dict:
    """Paths below a folder: links with their target, small files with their text."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = {"link": os.readlink(path)}
        elif path.is_file():
            size = path.stat().st_size
            found[name] = {"size": size}
            if "/refs/" in name or name == "CACHEDIR.TAG":
                found[name]["text"] = path.read_text()
    return found


def python(code: str, env: dict) -> dict:
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit(f"{code}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(*args: str, env: dict, status: int = 0) -> str:
    done = subprocess.run(["node", MAIN, *args], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


FETCH = """
import json
from huggingface_hub import hf_hub_download, snapshot_download
path = snapshot_download("org/model", allow_patterns=["*.json", "*.safetensors", "q/*"])
other = hf_hub_download("org/model", "config.json", revision="refs/pr/4")
try:
    hf_hub_download("org/model", "chat_template.jinja")
except Exception as error:
    missing = type(error).__name__
print(json.dumps({"path": path, "other": other, "missing": missing}))
"""

FIND = """
import json
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
path = snapshot_download("org/model")
files = [hf_hub_download("org/model", name) for name in ["config.json", "model.safetensors", "tokenizer.json"]]
part = hf_hub_download("org/model", "q/m-Q4_0-00002-of-00002.gguf", revision="v1")
absent = str(try_to_load_from_cache("org/model", "chat_template.jinja"))
scan = scan_cache_dir()
repo = next(iter(scan.repos))
print(json.dumps({
    "path": path, "size": sum(map(lambda f: __import__("os").path.getsize(f), files)), "part": open(part).read(),
    "isKnownAbsent": "object object" in absent, "repos": [r.repo_id for r in scan.repos],
    "refs": sorted(repo.refs), "bytes": repo.size_on_disk, "warnings": [str(w) for w in scan.warnings],
    "incomplete": len(scan.incomplete_files),
}))
"""

HOLD = """
import sys, time
from huggingface_hub.utils import WeakFileLock
with WeakFileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def main() -> None:
    import huggingface_hub

    serve = subprocess.Popen(
        ["node", ROOT / "dist/test/hub/serve.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    hub = json.loads(serve.stdout.readline())
    checks = {}
    with tempfile.TemporaryDirectory() as work:
        base = {**os.environ, "HF_ENDPOINT": hub["url"], "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        base.pop("HF_TOKEN", None)
        env = lambda name, **more: {**base, "HF_HOME": f"{work}/{name}", **more}
        cache = lambda name: pathlib.Path(work) / name / "hub"
        gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}

        # Python writes, this program reads.
        python(FETCH, env("python"))
        written = tree(cache("python"))
        listed = json.loads(ours("models", "--json", env=env("python")))
        checks["listed"] = [{k: model[k] for k in ("name", "sizeBytes", "partialBytes")} for model in listed]
        checks["pulled"] = json.loads(ours("pull", REPO, "--json", env=env("python")))["fetchedBytes"]
        checks["offline"] = ours("generate", "-m", REPO, "x", env=env("python", **gone), status=1)[-160:]

        # This program writes, Python reads.
        ours("pull", REPO, env=env("ours"))
        ours("pull", f"hf:{REPO}@v1:Q4_0", env=env("ours"))
        own = tree(cache("ours"))
        checks["found"] = python(FIND, env("ours", **gone))
        checks["found"]["path"] = pathlib.Path(checks["found"]["path"]).name

        # A lock of Python keeps this program waiting, and the other way round.
        for first in ("python", "ours"):
            etag = next(p.split("/")[-1] for p in own if "/blobs/" in p and own[p].get("size", 0) > 1 << 20)
            lock = cache(f"lock-{first}") / ".locks/models--org--model" / f"{etag}.lock"
            lock.parent.mkdir(parents=True)
            holder = [sys.executable, "-c", HOLD, lock] if first == "python" else ["flock", lock, "cat"]
            held = subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=base)
            if first == "python":
                held.stdout.readline()
                waiting = ["node", MAIN, "pull", REPO]
            else:
                held.stdin.write("\n")
                held.stdin.flush()
                held.stdout.readline()
                waiting = [sys.executable, "-c", "from huggingface_hub import hf_hub_download as f; f('org/model', 'model.safetensors')"]
            waiter = subprocess.Popen(waiting, env=env(f"lock-{first}"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(6)
            is_waiting = waiter.poll() is None
            held.send_signal(signal.SIGKILL)  # A dead holder's lock is free.
            if first == "ours":
                held.stdin.close()
            checks[f"waitsFor{first.capitalize()}"] = is_waiting and waiter.wait(60) == 0
            if not checks[f"waitsFor{first.capitalize()}"]:
                raise SystemExit(f"waiting for {first}: {is_waiting} {waiter.returncode} {waiter.stderr.read()}")
        serve.stdin.close()
        serve.wait(10)

    assert checks["found"]["warnings"] == [] and checks["found"]["isKnownAbsent"], checks
    assert checks["waitsForPython"] and checks["waitsForOurs"] and checks["pulled"] == 0, checks
    record = {"huggingface_hub": huggingface_hub.__version__, "commit": hub["commit"], "python": written, "ours": own, "checks": checks}
    OUT.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(checks, indent=1))


main()
