/** Forks that share the pages of a prompt decode the same bits as separate sequences, on every backend. */
import { afterEach, describe, expect, test } from "vitest";
import { Attention } from "../../src/attention/attend.ts";
import { bindAttention } from "../../src/attention/bind-attention.ts";
import { full } from "../../src/attention/policies/full.ts";
import type { AttentionModel, AttentionPolicy } from "../../src/attention/policy.ts";
import type { Backend, BackendFactory } from "../../src/backend/backend.ts";
import { StepBatchBuilder } from "../../src/engine/step-batch.ts";
import { PagePool } from "../../src/kv/page-pool.ts";
import { SequenceCache } from "../../src/kv/sequence-cache.ts";
import { openCheckpoint } from "../../src/load/checkpoint.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { attentionModelOf } from "../../src/model/model-size.ts";
import { createRope } from "../../src/model/rope.ts";
import { loadWeights } from "../../src/model/weights.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { gatesOn, plainGates } from "../conformance/random-gates.ts";
import { TINY_MODEL } from "./tiny-engine.ts";

const CAPACITY = { pageSize: 4, maxPages: 40, maxSequenceLength: 96, maxBatchRows: 32, maxBatchSequences: 4 };
/** Five full pages and two tokens. */
const PROMPT = Array.from({ length: 22 }, (_, i) => 3 + ((i * 37) % 300));
const SHARED = 20;

/** A sequence of a test. */
interface Sequence {
  readonly cache: SequenceCache;
  readonly tokens: number[];
}

/** Runs steps of sequences on the tiny model, without an engine. */
class Driver {
  readonly pool = new PagePool(CAPACITY.maxPages, CAPACITY.pageSize);
  readonly backend: Backend;
  readonly model: AttentionModel;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;

  private constructor(
    backend: Backend,
    decoder: Decoder,
    batch: StepBatchBuilder,
    { model }: Pick<Attention, "model">,
  ) {
    this.backend = backend;
    this.model = model;
    this.#decoder = decoder;
    this.#batch = batch;
  }

  static async open(open: BackendFactory): Promise<Driver> {
    const checkpoint = await openCheckpoint(await openFileFolder(TINY_MODEL));
    const config = parseModelConfig(checkpoint.config, "config.json");
    const backend = await open(config, CAPACITY);
    const weights = await loadWeights(checkpoint, config, backend);
    await checkpoint.close();
    const attention = new Attention(backend, attentionModelOf(config, CAPACITY.pageSize));
    const batch = new StepBatchBuilder(backend, config.ropes.map(createRope));
    return new Driver(backend, new Decoder(backend, weights, attention), batch, attention);
  }

  sequence(): Sequence {
    return { cache: new SequenceCache(this.pool), tokens: [] };
  }

  /** Returns a fork with the shared tokens. */
  fork({ cache, tokens }: Sequence): Sequence {
    const fork = cache.fork();
    return { cache: fork, tokens: tokens.slice(0, fork.length) };
  }

  /** Runs a step of equally many new tokens per sequence; returns the logits of each last token. */
  async step(
    sequences: readonly Sequence[],
    tokens: readonly (readonly number[])[],
    policy: AttentionPolicy,
  ): Promise<number[][]> {
    const runs = sequences.map(({ cache, tokens: known }, s) => {
      const firstPosition = cache.length;
      const added = tokens[s] ?? [];
      known.push(...added);
      expect(cache.grow(added.length)).toBe(true);
      if (policy.gates) expect(cache.hasData(policy.gates, firstPosition)).toBe(true);
      const validBounds = policy.pageBounds === undefined ? undefined : cache.validBounds;
      const isPrefill = added.length > 1;
      return {
        ...{ name: `sequence ${s}`, tokens: known, pages: cache.pages, firstPosition, validBounds },
        ...{ numRows: added.length, isPrefill, policy },
      };
    });
    this.#batch.fill(runs);
    this.#decoder.forward(this.#batch, this.#batch.groups);
    for (const [s, { validBounds }] of runs.entries())
      if (validBounds !== undefined) sequences[s]?.cache.markBoundsValid(validBounds);
    for (const [s, { firstPosition }] of runs.entries())
      if (policy.gates) sequences[s]?.cache.markData(policy.gates, firstPosition);
    const rows = Uint32Array.from(runs, ({ numRows }, s) => this.#batch.firstRows[s] + numRows - 1);
    this.#decoder.computeLogits(rows, rows.length);
    const logits = await this.backend.read(this.#decoder.logits);
    const { vocabSize } = this.backend.model;
    return runs.map((_, s) => [...logits.subarray(s * vocabSize, (s + 1) * vocabSize)]);
  }
}

// No WebGPU: a software adapter compiles kernels for half a minute, and test/conformance/cache.test.ts covers it.
describe.each(
  BACKENDS.filter(({ cacheDtype, cases }) => cacheDtype === undefined || cases === undefined),
)("$name", ({ open }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  test.each([
    "full",
    "quest:budget=12,page=4,dense-layers=1",
    // blocks of two pages: the prompt ends, and its forks begin, in the middle of a block
    "seer-attention-r:budget=8",
  ])("two forks of one prompt under %s decode as separate sequences, and change neither each other nor the prompt", async (spec) => {
    const driver = await Driver.open(open);
    opened.push(driver.backend);
    const policy = bindAttention(spec, driver.model);
    const gates = plainGates({ ...driver.model }, { blockSize: 8, gateDim: 6 }, 5);
    await policy.load?.({ loadGates: async () => gatesOn(driver.backend, gates) });
    const prompt = driver.sequence();
    // the prompt runs under a policy without key bounds; a gate must see every token
    await driver.step([prompt], [PROMPT], policy.gates ? policy : full());
    const before = driver.pool.numFree;
    const forks = [driver.fork(prompt), driver.fork(prompt)];
    expect([driver.pool.numFree, ...forks.map(({ cache }) => cache.length)]).toEqual([
      before,
      SHARED,
      SHARED,
    ]);
    const own = [driver.sequence(), driver.sequence()];
    await driver.step(own.slice(0, 1), [PROMPT.slice(0, SHARED)], policy);
    await driver.step(own.slice(1), [PROMPT.slice(0, SHARED)], policy);

    const rest = PROMPT.slice(SHARED);
    const steps = [
      [rest, rest],
      [[11], [12]],
      [[13], [14]],
      [[15], [16]],
      [[17], [18]],
    ];
    for (const tokens of steps) {
      const expected = await driver.step(own, tokens, policy);
      expect(await driver.step(forks, tokens, policy)).toEqual(expected);
    }
    // no fork wrote to the prompt's own last page
    const again = driver.sequence();
    await driver.step([again], [PROMPT], full());
    expect(await driver.step([prompt], [[9]], full())).toEqual(await driver.step([again], [[9]], full()));
    for (const { cache } of [prompt, again, ...forks, ...own]) cache.release();
    driver.pool.checkIntegrity(0);
  });
});
