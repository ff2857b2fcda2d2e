import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openEngine } from "../../src/node/index.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { findPython, runScript } from "./python.ts";

/** A script takes seconds on two idle cores. */
const LIMIT_MS = 240_000;

interface Losses {
  readonly firstLoss: Readonly<Record<string, number>>;
  readonly lastLoss: Readonly<Record<string, number>>;
}

const python = findPython();
if ("reason" in python) console.log(`training in Python is skipped: ${python.reason}`);

describe.skipIf("reason" in python)("the scripts of training/, in Python", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-training-"));
  const run = (...args: string[]) => {
    if ("reason" in python) throw new Error(python.reason);
    return runScript(python.path, args, LIMIT_MS);
  };
  const lastLine = (text: string) => JSON.parse(text.trim().split("\n").at(-1) ?? "");
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("draw the problems that the golden hashes are of", () => {
    const code = "import sys; sys.path.insert(0, 'training'); import goldens; print(goldens.task_hashes())";
    const found = JSON.parse(run("-c", code).replaceAll("'", '"'));
    expect(found).toEqual(JSON.parse(readFileSync(repositoryPath("test/golden/tasks.json"), "utf8")).rows);
  });

  it("train the tokenizer of the bundled model, byte for byte", () => {
    run("training/tokenizer.py", join(folder, "tokenizer.json"));
    const bundled = readFileSync(repositoryPath("models/pico-reasoner/tokenizer.json"));
    expect(readFileSync(join(folder, "tokenizer.json")).equals(bundled)).toBe(true);
  });

  it(
    "train a small model whose loss falls by a fifth in 40 steps, and which opens here",
    async () => {
      const out = join(folder, "small");
      const report: Losses = lastLine(
        run(
          "training/train.py",
          "--small",
          "--steps",
          "40",
          "--minutes",
          "3",
          "--tokens",
          "2048",
          "--out",
          out,
        ),
      );
      for (const [length, first] of Object.entries(report.firstLoss))
        expect(report.lastLoss[length], `length ${length}`).toBeLessThan(0.8 * first);
      const engine = await openEngine({ model: out, backend: "wasm", attention: "full" });
      try {
        expect(engine.report().model.architecture).toBe("Qwen3ForCausalLM");
        const generation = engine.generate({ prompt: "start: a=1", maxTokens: 8, ignoreEos: true });
        expect((await generation.result()).usage.completionTokens).toBe(8);
      } finally {
        await engine.close();
      }
    },
    LIMIT_MS,
  );

  it(
    "distil a gate whose divergence falls and whose file has the published names",
    () => {
      const out = join(folder, "gate");
      const sizes = ["--tokens", "512", "--lengths", "256:1", "--held-out", "256:1", "--budgets", "64"];
      const report: { training: Losses } = lastLine(
        run(
          "training/distill_gate.py",
          "--steps",
          "12",
          "--minutes",
          "3",
          "--workers",
          "0",
          "--out",
          out,
          ...sizes,
        ),
      );
      const { firstLoss, lastLoss } = report.training;
      expect(lastLoss["256"]).toBeLessThan(0.9 * (firstLoss["256"] ?? 0));
      const bytes = readFileSync(join(out, "seer-attention-gates.safetensors"));
      const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0))));
      expect(header["model.layers.9.self_attn.attn_gate.attngate_linear_k.weight"].shape).toEqual([
        2, 192, 64,
      ]);
      expect(header.__metadata__.seerattn_gate_block_size).toBe("16");
    },
    LIMIT_MS,
  );
});
