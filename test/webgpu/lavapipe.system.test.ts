/** The kernels with subgroup matrices on an software adapter that has them: test/lavapipe, in a Node that has lavapipe. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { lavapipeNode } from "../../scripts/local-lavapipe.mjs";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const TIMEOUT_MS = 8 * 60_000;

const lavapipe = lavapipeNode();
// never a failure: the release of Debian that has it changes every day
if (!lavapipe)
  console.warn(
    "subgroup matrices are not tested: there is no lavapipe; `node scripts/local-lavapipe.mjs` says why",
  );

it.skipIf(!lavapipe)(
  "subgroup matrices on lavapipe: every test passes",
  { timeout: TIMEOUT_MS + 10_000 },
  async () => {
    if (!lavapipe) return;
    const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
    const child = spawn(lavapipe.program, [...lavapipe.args, vitest, "run", "--project", "lavapipe"], {
      cwd: ROOT,
      env: { ...process.env, ...lavapipe.env, LESSISMORE_SUITE: "lavapipe" },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        output += String(text);
      });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(code, output.slice(-6000)).toBe(0);
    expect(output).toMatch(/Tests .*passed/);
  },
);
