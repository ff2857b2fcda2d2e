/** Whole checkpoints against Hugging Face. Errors are shares of the largest logit. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Engine, openEngine } from "../../src/node/index.ts";
import { type GpuRun, testedCaches } from "./gpu.ts";

interface Golden {
  readonly input_ids: readonly number[];
  readonly logits: Readonly<Record<string, readonly number[]>>;
  readonly greedy_from_first_50: readonly number[];
}

interface Problem {
  readonly task: string;
  readonly prompt_ids: readonly number[];
  readonly last_logits: readonly number[];
  readonly greedy_ids: readonly number[];
}

/**
 * Of logits, as a share of the largest. As test/golden/backends.ts has them; subgroup matrices round the rows of a product to f16, which an
 * H200 shows as 2.8e-3 at most beside an f32 cache, and 3.4e-3 beside an f16 cache. Steps of a q8 cache decide between the best tokens of a
 * random checkpoint, so that its logits alone are compared.
 */
const ALLOWED_ERROR = { f16: 3e-3, f32: 1e-4, q8: 5e-2 } as const;
const ALLOWED_ERROR_WITH_MATRICES = { f16: 5e-3, f32: 4e-3, q8: 5e-2 } as const;

const SPARSE = "less-is-more:budget=128,layers=2+7";

export async function testGoldens(run: GpuRun, root: string): Promise<void> {
  const folder = join(root, "test/golden/hf");
  const checkpoints = readdirSync(folder).filter((name) => !run.isQuick || name === "qwen2-bias");
  const problems: Problem[] = read(join(root, "test/golden/pico-reasoner.json"));
  for (const cacheDtype of testedCaches(run)) {
    const allowed = run.hasSubgroupMatrices ? ALLOWED_ERROR_WITH_MATRICES : ALLOWED_ERROR;
    const bound = allowed[cacheDtype];
    const add = (name: string, error: number) =>
      run.rows.add("goldens", `${name}, ${cacheDtype} cache`, { error, bound });
    for (const name of checkpoints) {
      const golden: Golden = read(join(folder, name, "golden.json"));
      const engine = await openEngine({ model: join(folder, name), backend: "webgpu", cacheDtype });
      const logits = await engine.logits(golden.input_ids);
      const errors = Object.entries(golden.logits).map(([position, expected]) =>
        logitError(logits, Number(position), expected),
      );
      add(`${name}: logits`, Math.max(...errors));
      const prompt = golden.input_ids.slice(0, 50);
      if (cacheDtype !== "q8")
        add(
          `${name}: 60 greedy tokens`,
          await greedyError(engine, { prompt, expected: golden.greedy_from_first_50, ignoreEos: true }),
        );
      await engine.close();
    }
    if (run.isQuick || cacheDtype === "q8") continue;
    const engine = await openEngine({
      model: join(root, "models/pico-reasoner"),
      ...{ backend: "webgpu", cacheDtype, attention: "full" },
    });
    for (const [i, { task, prompt_ids, last_logits, greedy_ids }] of problems.entries()) {
      const logits = await engine.logits(prompt_ids);
      add(`pico-reasoner, ${i} ${task}: logits`, logitError(logits, prompt_ids.length - 1, last_logits));
      const greedy = { prompt: prompt_ids, expected: greedy_ids };
      const name = `pico-reasoner, ${i} ${task}: ${greedy_ids.length} greedy tokens`;
      add(name, await greedyError(engine, greedy));
      // the problem whose text LessIsMore gives too, as on the page of the end-to-end test
      if (i === 3) add(`${name}, ${SPARSE}`, await greedyError(engine, { ...greedy, attention: SPARSE }));
    }
    await engine.close();
  }
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

/** Largest difference over the largest absolute logit. */
function logitError(logits: Float32Array, position: number, expected: readonly number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  const at = position * expected.length;
  return Math.max(...expected.map((logit, i) => Math.abs(logit - logits[at + i]))) / scale;
}

interface GreedyCase {
  readonly prompt: readonly number[];
  readonly expected: readonly number[];
  readonly attention?: string;
  readonly ignoreEos?: boolean;
}

/**
 * 0 where all tokens are the golden ones. Where they part, half the distance of the two tokens' logits, computed anew from
 * the text before: two that are each off by the bound may change places, and no others.
 */
async function greedyError(engine: Engine, { prompt, expected, ...request }: GreedyCase): Promise<number> {
  const maxTokens = request.ignoreEos ? expected.length : 1200;
  const generation = engine.generate({ tokenIds: prompt, maxTokens, temperature: 0, ...request });
  const { tokenIds } = await generation.result();
  const at = expected.findIndex((token, i) => tokenIds[i] !== token);
  if (at < 0) return tokenIds.length === expected.length ? 0 : 1;
  const same = [...prompt, ...expected.slice(0, at)];
  const logits = await engine.logits(same);
  const last = logits.subarray(logits.length - logits.length / same.length);
  const scale = last.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
  return Math.abs(last[tokenIds[at]] - last[expected[at]]) / scale / 2;
}
