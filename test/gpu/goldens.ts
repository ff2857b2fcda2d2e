/** Whole checkpoints against Hugging Face. Errors are shares of the largest logit. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CacheDtype } from "../../src/backend/backend.ts";
import { openDawn } from "../../src/node/dawn.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { type Engine, openEngine } from "../../src/node/index.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import { type F16Rounding, OTHER_ROUNDING_SHARE, roundingOf } from "../golden/f16-rounding.ts";
import { logitError, worstLogitError } from "../golden/logit-error.ts";
import { withoutSubgroupMatrices } from "../webgpu/without-matrices.ts";
import { type GpuRun, testedCaches } from "./gpu.ts";
import type { GpuTask } from "./rows.ts";

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

/** f32 sums in another order than PyTorch's. */
const F32_ERROR = 1e-4;
/** As test/golden/backends.ts has it. Of the bundled model, whose logits are no noise; an H200 is off by 2e-4. */
const PICO_ERROR = { f16: 1e-3, f32: 1e-3, q8: 6e-3 } as const;
/** Steps of a q8 cache decide between the best tokens of a random checkpoint, so that its logits alone are compared. */
const Q8_ERROR = 5e-2;
/**
 * A step of a q8 cache is a 127th of a row's largest number, one of f16 a 1024th of each number: what f16 does to a checkpoint, int8
 * does that many times as much, seen 13 times with ministral3-yarn.
 */
const Q8_OVER_F16 = 16;

/**
 * What logits may differ by numbers of the cache that fall on the other side of a middle, where all rounding moves them little: an H200
 * has 3.4e-4 with qwen2-tied, which all rounding moves by 4.0e-4; at most 0.28 of it elsewhere.
 */
const OTHER_NEIGHBOURS = 5e-4;

const SPARSE = "less-is-more:budget=128,layers=2+7";

/** A task for each checkpoint and cache, and for each problem of the bundled model. */
export function goldenTasks(run: GpuRun, root: string): readonly GpuTask[] {
  const folder = join(root, "test/golden/hf");
  const checkpoints = readdirSync(folder).filter((name) => !run.isQuick || name === "qwen2-bias");
  const rounding: F16Rounding = read(join(root, "test/golden/f16-rounding.json"));
  const problems: Problem[] = read(join(root, "test/golden/pico-reasoner.json"));
  const caches = testedCaches(run);
  const ofCheckpoints = checkpoints.flatMap((name) => {
    const checkpoint = { name, folder: join(folder, name), rounding: roundingOf(rounding, name) };
    return [
      ...caches.map((cacheDtype) => ({
        name: `goldens, ${name}, ${cacheDtype}`,
        run: () => testCheckpoint(run, checkpoint, cacheDtype),
      })),
      { name: `goldens, ${name}, beside the reference`, run: () => testBesideReference(run, checkpoint) },
    ];
  });
  if (run.isQuick) return ofCheckpoints;
  const ofProblems = caches
    .filter((cacheDtype) => cacheDtype !== "q8")
    .flatMap((cacheDtype) =>
      problems.map((problem, i) => ({
        name: `goldens, pico-reasoner, ${i} ${problem.task}, ${cacheDtype}`,
        run: () => testProblem(run, join(root, "models/pico-reasoner"), { problem, i, cacheDtype }),
      })),
    );
  return [...ofCheckpoints, ...ofProblems];
}

interface TestedCheckpoint {
  readonly name: string;
  readonly folder: string;
  readonly rounding: F16Rounding[string];
}

/**
 * What the rounding of a device does to a checkpoint at most. Subgroup matrices round the factors of products whatever the cache, and those of
 * q8 move by steps that are coarser by far.
 */
function boundOf(
  { hasSubgroupMatrices }: GpuRun,
  { rounding }: TestedCheckpoint,
  cacheDtype: CacheDtype,
): number {
  if (cacheDtype === "q8") return Math.max(Q8_ERROR, Q8_OVER_F16 * rounding.cache.nearest);
  if (hasSubgroupMatrices) return rounding.products.largest;
  return cacheDtype === "f16" ? rounding.cache.largest : F32_ERROR;
}

async function testCheckpoint(
  run: GpuRun,
  checkpoint: TestedCheckpoint,
  cacheDtype: CacheDtype,
): Promise<void> {
  const { name, folder } = checkpoint;
  const bound = boundOf(run, checkpoint, cacheDtype);
  const add = (what: string, error: number) =>
    run.rows.add("goldens", `${name}: ${what}, ${cacheDtype} cache`, { error, bound });
  const golden: Golden = read(join(folder, "golden.json"));
  const engine = await openEngine({ model: folder, backend: "webgpu", cacheDtype });
  const logits = await engine.logits(golden.input_ids);
  const errors = Object.entries(golden.logits).map(([position, expected]) =>
    logitError(logits, Number(position), expected),
  );
  add("logits", Math.max(...errors));
  const prompt = golden.input_ids.slice(0, 50);
  const expected = golden.greedy_from_first_50;
  if (cacheDtype !== "q8")
    add("60 greedy tokens", await greedyError(engine, { prompt, expected, ignoreEos: true }));
  await engine.close();
}

/** Devices of this GPU that lack subgroup matrices, from one source, so that they are tested once. */
let plainGpu: Promise<GPU> | undefined;
function openPlainGpu(): Promise<GPU> {
  plainGpu ??= openDawn().then(withoutSubgroupMatrices);
  return plainGpu;
}

/** The f16 cache alone: with products in f32, logits are those of the reference backend with the same cache. */
async function testBesideReference(run: GpuRun, { name, folder, rounding }: TestedCheckpoint): Promise<void> {
  const { input_ids: ids }: Golden = read(join(folder, "golden.json"));
  const logits: Float32Array[] = [];
  for (const backend of ["webgpu", "reference"] as const) {
    const host = { folder: await openFileFolder(folder), wasm: createWasmHost(), openGpu: openPlainGpu };
    const engine = await openEngineWith(host, { backend, cacheDtype: "f16" });
    logits.push(await engine.logits(ids));
    await engine.close();
  }
  const [actual, expected] = logits;
  const bound = Math.max(OTHER_ROUNDING_SHARE * rounding.cache.nearest, OTHER_NEIGHBOURS);
  run.rows.add("f16 cache", `${name}: logits beside the reference's, products in f32`, {
    error: worstLogitError(actual, expected, ids.length),
    bound,
  });
}

interface TestedProblem {
  readonly problem: Problem;
  readonly i: number;
  readonly cacheDtype: CacheDtype;
}

async function testProblem(
  run: GpuRun,
  model: string,
  { problem, i, cacheDtype }: TestedProblem,
): Promise<void> {
  const { task, prompt_ids: prompt, last_logits, greedy_ids: expected } = problem;
  const engine = await openEngine({ model, backend: "webgpu", cacheDtype, attention: "full" });
  const bound = PICO_ERROR[cacheDtype];
  const add = (what: string, error: number) =>
    run.rows.add("goldens", `pico-reasoner, ${i} ${task}: ${what}, ${cacheDtype} cache`, { error, bound });
  const logits = await engine.logits(prompt);
  add("logits", logitError(logits, prompt.length - 1, last_logits));
  const tokens = `${expected.length} greedy tokens`;
  add(tokens, await greedyError(engine, { prompt, expected }));
  // the problem whose text LessIsMore gives too, as on the page of the end-to-end test
  if (i === 3)
    add(`${tokens}, ${SPARSE}`, await greedyError(engine, { prompt, expected, attention: SPARSE }));
  await engine.close();
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
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
