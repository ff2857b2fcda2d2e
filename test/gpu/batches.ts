/**
 * Requests at once against the same requests alone. Errors are NMSE of log-probabilities, and, where greedy tokens part, the
 * distance of the two best of the request alone.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Engine, type GenerationResult, openEngine, type TokenLogprob } from "../../src/node/index.ts";
import type { GpuRun } from "./gpu.ts";
import type { GpuTask } from "./rows.ts";

/** Up to the rows of the matrix-vector kernel, past them, whole tiles, and more than an engine takes by default. */
const COUNTS = [2, 4, 5, 8, 16, 32, 64];
const QUICK_COUNTS = [3];
const STEPS = 24;
const QUICK_STEPS = 4;
/** Attentions that share a step. */
const ATTENTION = ["full", "less-is-more:budget=128,layers=2+7"];
/** Natural logarithms: two tokens this near to each other may change places by rounding. */
const NEAR = 0.02;
const ALTERNATIVES = 20;
/** Few rows and many take kernels of their own, and subgroup matrices round x to f16. */
const NMSE = 1e-5;

export function batchTasks(run: GpuRun, root: string): readonly GpuTask[] {
  return [{ name: "batches", run: () => testBatches(run, root) }];
}

async function testBatches(run: GpuRun, root: string): Promise<void> {
  const counts = run.isQuick ? QUICK_COUNTS : COUNTS;
  const most = Math.max(...counts);
  const prompts = readPrompts(root, most);
  const engine = await openEngine({
    ...{ model: join(root, "models/pico-reasoner"), backend: "webgpu", contextLength: 1024 },
    maxConcurrent: most,
  });
  try {
    const ask = (i: number) => answer(engine, prompts[i] ?? [], i, run.isQuick ? QUICK_STEPS : STEPS);
    const alone: GenerationResult[] = [];
    for (let i = 0; i < most; i++) alone.push(await ask(i));
    for (const count of counts) {
      const together = await Promise.all(Array.from({ length: count }, (_, i) => ask(i)));
      const found = together.map((result, i) => compare(alone[i] as GenerationResult, result));
      const add = (what: string, error: number, bound: number) =>
        run.rows.add("batches", `${count} requests: ${what}`, { error, bound });
      add("log-probabilities", Math.max(...found.map(({ nmse }) => nmse)), NMSE);
      add("greedy tokens that part", Math.max(...found.map(({ gap }) => gap)), NEAR);
    }
  } finally {
    await engine.close();
  }
}

/** Prompts of problems, cut to lengths of their own. */
function readPrompts(root: string, count: number): readonly (readonly number[])[] {
  const text = readFileSync(join(root, "test/golden/pico-reasoner.json"), "utf8");
  const problems = JSON.parse(text) as readonly { readonly prompt_ids: readonly number[] }[];
  return Array.from({ length: count }, (_, i) => {
    const { prompt_ids: ids } = problems[i % problems.length] ?? { prompt_ids: [] };
    return ids.slice(0, Math.max(8, ids.length - 3 * Math.floor(i / problems.length)));
  });
}

/** No prompt is found in the cache: each salt is its own. */
let numAsked = 0;

function answer(
  engine: Engine,
  tokenIds: readonly number[],
  i: number,
  maxTokens: number,
): Promise<GenerationResult> {
  const request = { tokenIds, maxTokens, temperature: 0, ignoreEos: true, logprobs: ALTERNATIVES };
  const cacheSalt = `batches ${++numAsked}`;
  return engine.generate({ ...request, cacheSalt, attention: ATTENTION[i % ATTENTION.length] }).result();
}

/** nmse: of all steps up to the first whose tokens differ. gap: between the two best of that step; 0 if there is none. */
function compare(alone: GenerationResult, beside: GenerationResult): { nmse: number; gap: number } {
  let [errors, squares] = [0, 0];
  const steps = alone.logprobs ?? [];
  for (let step = 0; step < steps.length; step++) {
    const [one, other] = [steps[step] as TokenLogprob, beside.logprobs?.[step]];
    if (!other) return { nmse: Number.NaN, gap: Number.NaN };
    const found = new Map(other.top.map(({ id, logprob }) => [id, logprob]));
    for (const { id, logprob } of one.top) {
      const same = found.get(id);
      // the last of the best may be others
      if (same === undefined) continue;
      errors += (logprob - same) ** 2;
      squares += logprob ** 2;
    }
    if (one.id !== other.id) {
      const [best, second] = one.top;
      return { nmse: errors / squares, gap: best && second ? best.logprob - second.logprob : Number.NaN };
    }
  }
  return { nmse: errors / squares, gap: 0 };
}
