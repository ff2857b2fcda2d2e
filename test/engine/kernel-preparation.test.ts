/** Kernels compiled ahead: the requests that wait for a compiler or fail with it, and the work that excludes dry runs. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, test } from "vitest";
import type { AttentionPolicy } from "../../src/attention/policy.ts";
import { BackendError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { streamingLlm } from "../../src/index.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const [{ open }] = BACKENDS;
const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});
async function openEngine(options: TinyOptions): Promise<GenerationEngine> {
  const engine = await openTiny(open, options);
  opened.push(engine);
  return engine;
}

const ids = Array.from({ length: 24 }, (_, i) => 3 + ((i * 37) % 300));
const greedy: GenerationRequest = { tokenIds: ids.slice(0, 6), maxTokens: 5, temperature: 0 };
const sampled: GenerationRequest = { ...greedy, temperature: 1, seed: 4 };

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** A compiler under the test's control: `next` ends all compilations since the last `next`. */
function slowCompiler() {
  let gate = withResolvers();
  let numRuns = 0;
  return {
    prepare: (): Promise<void> => {
      numRuns++;
      return gate.promise;
    },
    /** Number of dry runs. */
    numRuns: () => numRuns,
    /** Returns a function that ends the compilations of all dry runs so far. */
    next: () => {
      const before = gate;
      gate = withResolvers();
      return before;
    },
  };
}
interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}
function withResolvers(): PromiseWithResolvers<void> {
  let resolve = () => {};
  let reject = (_: Error) => {};
  const promise = new Promise<void>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { promise, resolve, reject };
}
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
};

test("a request waits for its own kernels only, not for those of others", async () => {
  const { prepare, next } = slowCompiler();
  const engine = await openEngine({ prepare, sizes: { maxBatchSequences: 1 } });
  const first = engine.generate(greedy).result();
  await turns();
  next().resolve();
  await first;
  const waiting = engine.generate(sampled);
  await turns();
  expect(waiting.progress.phase).toBe("waiting");
  // a request of the first one's kind, also alone in its batch
  const { tokenIds } = await engine.generate({ ...greedy, tokenIds: ids.slice(6, 12) }).result();
  expect(tokenIds).toHaveLength(5);
  next().resolve();
  expect((await waiting.result()).tokenIds).toHaveLength(5);
});

test("requests of one kind share their dry runs, and both wait for them", async () => {
  const { prepare, next, numRuns } = slowCompiler();
  const engine = await openEngine({ prepare, sizes: { maxBatchSequences: 1 } });
  const first = engine.generate(greedy);
  await turns();
  const numOfOne = numRuns();
  expect(numOfOne).toBeGreaterThan(0);
  const both = [first, engine.generate({ ...greedy, tokenIds: ids.slice(6, 12) })];
  await turns();
  expect(numRuns()).toBe(numOfOne);
  const waits = { phase: "waiting", waitsFor: "its kernels to be prepared" };
  expect(both.map(({ progress }) => progress)).toEqual([
    expect.objectContaining(waits),
    expect.objectContaining(waits),
  ]);
  next().resolve();
  for (const one of both) expect((await one.result()).tokenIds).toHaveLength(5);
});

test("a policy that differs only in its budget adds sparse steps and no dense ones", async () => {
  const { prepare, next, numRuns } = slowCompiler();
  const engine = await openEngine({ prepare, sizes: { maxBatchSequences: 1 } });
  const run = async (budget: number) => {
    const before = numRuns();
    const request = engine.generate({
      ...greedy,
      maxTokens: 20,
      attention: `streaming-llm:budget=${budget}`,
    });
    await turns();
    next().resolve();
    await request.result();
    return numRuns() - before;
  };
  const first = await run(8);
  expect(await run(9)).toBe(1);
  expect(first).toBeGreaterThan(1);
});

test("a kernel that does not compile fails only the request that needs it; the next request tries again", async () => {
  const { prepare, next } = slowCompiler();
  const engine = await openEngine({ prepare });
  const good = engine.generate(greedy).result();
  await turns();
  next().resolve();
  await good;
  const bad = engine.generate(sampled);
  await turns();
  next().reject(new BackendError("kernel sample-draw does not compile"));
  await expect(bad.result()).rejects.toThrow("kernel sample-draw does not compile");
  const odd = engine.generate(sampled);
  await turns();
  next().reject(new TypeError("no bounds"));
  await expect(odd.result()).rejects.toThrow("request 3: preparing its kernels failed: no bounds");
  expect((await engine.generate(greedy).result()).tokenIds).toHaveLength(5);
  const again = engine.generate(sampled);
  await turns();
  next().resolve();
  expect((await again.result()).tokenIds).toHaveLength(5);
});

test("a request that arrives during a resize of the cache records its dry run after the resize", async () => {
  let isMoving = false;
  const met: boolean[] = [];
  const requests: Promise<unknown>[] = [];
  const engine = await openEngine({
    pool: { firstPages: 2 },
    prepare: async () => {
      met.push(isMoving);
    },
    onResize: async () => {
      isMoving = true;
      requests.push(engine.generate({ ...sampled, attention: streamingLlm({ tokenBudget: 8 }) }).result());
      await turns();
      isMoving = false;
    },
  });
  await engine.generate({ ...greedy, maxTokens: 30 }).result();
  await Promise.all(requests);
  expect(met.length).toBeGreaterThan(1);
  expect(met).not.toContain(true);
});

test("a policy with settings that are not JSON generates", async () => {
  const engine = await openEngine({});
  const policy: AttentionPolicy = { ...streamingLlm({ tokenBudget: 8 }), settings: { seed: 7n } };
  expect((await engine.generate({ ...greedy, attention: policy }).result()).tokenIds).toHaveLength(5);
});

test("an abandoned generation is garbage-collected", async () => {
  const engine = await openEngine({
    sizes: { maxBatchSequences: 1, maxSequenceLength: 384, maxPages: 96 },
  });
  const dropped = new WeakRef(engine.generate({ ...greedy, maxTokens: 300 })); // suspended for the next one
  await turns();
  for (let i = 0; i < 4; i++) await engine.generate(greedy).result();
  await turns();
  collect();
  await turns();
  collect();
  expect(dropped.deref()).toBeUndefined();
});
