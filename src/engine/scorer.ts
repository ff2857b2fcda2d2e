import { abortable, throwIfAborted } from "../base/abort.ts";
import { BackendError, RequestError } from "../base/errors.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import type { SequenceCache } from "../kv/sequence-cache.ts";
import { oneSequence } from "../kv/sequence-group.ts";
import { type ForcedSteps, forcedSequence } from "./forced-steps.ts";
import { GREEDY } from "./kernel-preparation.ts";
import type { ResolvedScore } from "./resolve-score.ts";
import type { ScoreResult } from "./score.ts";
import { batchSizeOf, groupSizesOf, type ScorerBackend, type ScorerHost, Scoring } from "./scoring.ts";
import { chunkOf } from "./share-rows.ts";

/** Runs calls of `logits`, `score` and `scoreEach`: steps of known tokens, in turns with the steps of requests. */
export class Scorer {
  readonly #steps: ForcedSteps;
  readonly #backend: ScorerBackend;
  readonly #host: ScorerHost;

  constructor(steps: ForcedSteps, backend: ScorerBackend, host: ScorerHost) {
    this.#steps = steps;
    this.#backend = backend;
    this.#host = host;
  }

  /** Computes dense logits of every position. out: f32 [tokens.length, vocabSize] */
  async logits(tokens: readonly number[], out: Float32Array): Promise<void> {
    const { vocabSize } = this.#backend.model;
    const { group, release } = this.#host.reserve("logits", oneSequence(tokens.length));
    try {
      const [cache] = (await group).fork();
      const sequence = forcedSequence("logits", tokens, cache as SequenceCache);
      for (let first = 0; first < tokens.length; first = sequence.cache.length) {
        if (first > 0) await yieldToEventLoop();
        await this.#host.turn(async () => {
          const recordedAt = performance.now();
          const numRows = chunkOf(tokens.length - first, this.#host.prefillRows());
          this.#steps.record([sequence], numRows, true);
          await this.#steps.readAll(numRows, out.subarray(first * vocabSize, (first + numRows) * vocabSize));
          this.#host.arrived(numRows, recordedAt);
        });
      }
    } finally {
      release();
    }
  }

  /**
   * Scores the tokens under every policy of the call, one sequence each.
   * @throws ModelFileError, ConfigError if the weights of a policy cannot be loaded; OutOfPagesError, AbortedError, RequestError, BackendError
   */
  async score(call: ResolvedScore): Promise<readonly ScoreResult[]> {
    const { doing, signal, policies } = call;
    throwIfAborted(signal, doing);
    const loading = policies.flatMap(({ policy }) => this.#host.load(policy) ?? []);
    if (loading.length > 0) await abortable(Promise.all(loading), signal, doing);
    const sizes = groupSizesOf(call, this.#backend.capacity.pageSize);
    this.#host.checkFits(doing, sizes);
    await abortable(this.#prepare(call, sizes.tokens), signal, doing);
    const { group, release } = this.#host.reserve(doing, sizes);
    try {
      const held = await abortable(group, signal, doing);
      const parts = { steps: this.#steps, backend: this.#backend, host: this.#host };
      return await new Scoring(call, held, parts).run();
    } finally {
      release();
      for (const { policy } of policies) this.#steps.forget(policy);
    }
  }

  /** Compiles the kernels that the policies add to those compiled. */
  async #prepare({ policies, from, doing }: ResolvedScore, longestCache: number): Promise<void> {
    const batchSize = batchSizeOf(policies.length, this.#backend.capacity.maxBatchSequences);
    const demand = { sampling: GREEDY, promptTokens: from, longestCache, batchSize };
    try {
      await Promise.all(policies.map((scored) => this.#host.prepare({ ...scored, ...demand })));
    } catch (error) {
      if (error instanceof BackendError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new RequestError(`${doing}: preparing its kernels failed: ${message}`, { cause: error });
    }
  }
}
