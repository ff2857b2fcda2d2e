import { spawnSync } from "node:child_process";
import { repositoryPath } from "../golden/open-fixture.ts";

/** Interpreters to try: the one that the environment names, a virtual environment of the checkout, the machine's. */
const CANDIDATES = [process.env.LESSISMORE_PYTHON, repositoryPath(".venv/bin/python"), "python3"];
const PROBE_LIMIT_MS = 60_000;

/** An interpreter with the packages of `training/requirements.txt`, or why there is none. */
export type Python = { readonly path: string } | { readonly reason: string };

/** Looks for a Python that can run the scripts of `training/`. */
export function findPython(): Python {
  const found = CANDIDATES.find((path) => {
    if (path === undefined) return false;
    const probe = spawnSync(path, ["-c", "import torch, tokenizers, safetensors, numpy; torch.optim.Muon"], {
      timeout: PROBE_LIMIT_MS,
    });
    return probe.status === 0;
  });
  if (found !== undefined) return { path: found };
  return {
    reason:
      "no Python with torch 2.9 or later was found: python3 -m venv .venv && .venv/bin/pip install -r training/requirements.txt",
  };
}

/** Runs a script of `training/` from the root and returns its standard output. @throws Error with what it wrote, if it fails. */
export function runScript(python: string, args: readonly string[], limitMs: number): string {
  const result = spawnSync(python, [...args], {
    cwd: repositoryPath("."),
    timeout: limitMs,
    encoding: "utf8",
    maxBuffer: 1 << 24,
  });
  if (result.status === 0) return result.stdout;
  const end = `${result.stdout}${result.stderr}`.slice(-2000);
  throw new Error(`${args.join(" ")} ended with ${result.status ?? result.signal}: ${end}`);
}
