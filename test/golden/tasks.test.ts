import { expect, it } from "vitest";
import { TASKS, type TaskName } from "../../eval/problems/index.ts";
import { Random } from "../../eval/problems/random.ts";
import { place } from "../place/here.ts";

interface Row {
  readonly task: TaskName;
  readonly seed: number;
  readonly budget: number;
  readonly sha256: string;
}

/** Written by `training/goldens.py tasks`: the Python generators, fed with the same random numbers. */
const golden: { readonly problemsPerHash: number; readonly rows: readonly Row[] } = JSON.parse(
  await place.readText("test/golden/tasks.json"),
);

it.each(golden.rows)("$task, seed $seed, budget $budget: the problems of training/tasks.py, letter for letter", async ({
  task,
  seed,
  budget,
  sha256,
}) => {
  const random = new Random(seed);
  let text = "";
  for (let i = 0; i < golden.problemsPerHash; i++) {
    const { problem, reasoning, answer } = TASKS[task](random, budget);
    text += [problem, reasoning, answer].join("\0");
  }
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  expect(hex).toBe(sha256);
});
