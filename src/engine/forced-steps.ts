import type { Attention } from "../attention/attend.ts";
import { AttentionObservation, type ObservedStep } from "../attention/observed-attention.ts";
import type { ResolvedObserver } from "../attention/observer.ts";
import { full } from "../attention/policies/full.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import { RequestError } from "../base/errors.ts";
import type { SequenceCache } from "../kv/sequence-cache.ts";
import type { Decoder } from "../model/decoder.ts";
import { checkPageData, firstStale, markPageData } from "./page-data.ts";
import { CHUNK_ROWS } from "./share-rows.ts";
import { type RopeWriter, type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** A sequence whose tokens are all known. */
export interface ForcedSequence {
  /** Names it in messages. */
  readonly name: string;
  readonly tokens: readonly number[];
  readonly cache: SequenceCache;
  readonly policy: AttentionPolicy;
  /** Maximum tokens that it will cache. */
  readonly longest: number;
  readonly observer: ResolvedObserver | undefined;
  /** Rows (`CacheReads`) read and cached over its decode steps. */
  attendedRows: number;
  cachedRows: number;
  /** Decode steps so far. */
  numSteps: number;
}

/** Makes a sequence. Default: dense, and as long as its tokens. */
export function forcedSequence(
  name: string,
  tokens: readonly number[],
  cache: SequenceCache,
  {
    policy = full(),
    longest = tokens.length,
    observer,
  }: {
    readonly policy?: AttentionPolicy;
    readonly longest?: number;
    readonly observer?: ResolvedObserver | undefined;
  } = {},
): ForcedSequence {
  return { name, tokens, cache, policy, longest, observer, attendedRows: 0, cachedRows: 0, numSteps: 0 };
}

/** The rows of one sequence in a step. */
interface ForcedRun extends SequenceRun {
  readonly sequence: ForcedSequence;
  /** Index of the sequence in the call. */
  readonly index: number;
}

/** Records steps of known tokens, through the decoder and the policies that requests use. */
export class ForcedSteps {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  readonly #batch: StepBatchBuilder;
  readonly #lastRows: Uint32Array;
  readonly #logitRows: Uint32Array;
  readonly #observation: AttentionObservation;
  readonly #oneLogit = new Float32Array(1);

  constructor(backend: Backend, decoder: Decoder, attention: Attention, ropes: readonly RopeWriter[]) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
    this.#observation = new AttentionObservation(attention, backend);
    this.#batch = new StepBatchBuilder(backend, ropes);
    this.#lastRows = new Uint32Array(backend.capacity.maxBatchSequences);
    this.#logitRows = new Uint32Array(decoder.logitRows);
  }

  /**
   * Records a step of the next `numRows` tokens of each sequence; one row that is no prefill is a decode step. Returns the observed
   * step if the first sequence's observer samples it.
   * @throws RequestError if a policy throws
   */
  record(
    sequences: readonly ForcedSequence[],
    numRows: number,
    isPrefill: boolean,
  ): ObservedStep | undefined {
    const runs = sequences.map((sequence, index) => this.#runOf(sequence, { index, numRows, isPrefill }));
    const ordered = this.#batch.fill(runs);
    const observed = isPrefill ? undefined : this.#observe(ordered[0]);
    this.#decoder.forward(this.#batch, this.#batch.groups, observed);
    observed?.submit();
    this.#checkPolicies();
    const { numLayers } = this.#backend.model;
    for (let s = 0; s < ordered.length; s++) {
      const { sequence, index, validBounds, firstPosition } = ordered[s] as ForcedRun;
      if (validBounds !== undefined && sequence.policy.pageBounds !== undefined)
        sequence.cache.markBoundsValid(validBounds);
      markPageData(sequence.policy, sequence.cache, { from: firstPosition, stale: validBounds });
      this.#lastRows[index] = this.#batch.firstRows[s] + numRows - 1;
      if (isPrefill) continue;
      sequence.attendedRows += this.#attention.reads.of(s);
      sequence.cachedRows += numLayers * (firstPosition + 1);
    }
    return observed;
  }

  /** Starts observing a step, if the sequence's observer samples it. */
  #observe(run: ForcedRun | undefined): ObservedStep | undefined {
    const observer = run?.sequence.observer;
    if (!run || !observer) return undefined;
    const step = run.sequence.numSteps++;
    if (step % observer.every !== 0) return undefined;
    const length = run.firstPosition + 1;
    return this.#observation.start([{ observer, step, sequence: 0, row: 0, length }]);
  }

  #runOf(
    sequence: ForcedSequence,
    step: { readonly index: number; readonly numRows: number; readonly isPrefill: boolean },
  ): ForcedRun {
    const { name, tokens, cache, policy, longest } = sequence;
    const firstPosition = cache.length;
    if (!cache.grow(step.numRows))
      throw new RangeError(
        `${name}: a step of ${step.numRows} tokens at position ${firstPosition} has no pages`,
      );
    checkPageData(policy, cache, firstPosition);
    const validBounds = firstStale(policy, cache, firstPosition);
    const run = {
      name,
      tokens,
      pages: cache.pages,
      firstPosition,
      validBounds,
      longest,
      policy,
      sequence,
      ...step,
    };
    this.#batch.check(run);
    return run;
  }

  #checkPolicies(): void {
    const failures = this.#attention.takeFailures();
    for (const [{ policy }, thrown] of failures) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      throw new RequestError(`attention ${policy.name} failed: ${message}`, { cause: thrown });
    }
  }

  /**
   * Records the logits of the last step's last row of each sequence and starts reading them.
   * rows: f32 [vocabSize] of each sequence, in their order
   */
  readLast(rows: readonly Float32Array[]): Promise<void> {
    const { vocabSize } = this.#backend.model;
    this.#decoder.computeLogits(this.#lastRows, rows.length);
    const readback = this.#backend.readback();
    for (let row = 0; row < rows.length; row++)
      readback.add(this.#decoder.logits, row * vocabSize, rows[row] as Float32Array);
    return readback.arrive();
  }

  /**
   * Records the logits of every row of the last step, which had one sequence, and reads them.
   * out: f32 [numRows, vocabSize]
   */
  async readAll(numRows: number, out: Float32Array): Promise<void> {
    const { vocabSize } = this.#backend.model;
    const { logitRows } = this.#decoder;
    for (let row = 0; row < numRows; row += logitRows) {
      const count = Math.min(logitRows, numRows - row);
      // repeats the last row, because other kernels, with other bits, compute fewer rows than CHUNK_ROWS
      const computed = Math.min(logitRows, Math.max(count, CHUNK_ROWS));
      for (let i = 0; i < computed; i++) this.#logitRows[i] = row + Math.min(i, count - 1);
      this.#decoder.computeLogits(this.#logitRows, computed);
      await this.#read(out.subarray(row * vocabSize, (row + count) * vocabSize));
    }
  }

  /** Waits for the recorded steps. No sample may do that, because later steps continue from the last sample of requests. */
  async finish(): Promise<void> {
    await this.#read(this.#oneLogit);
  }

  #read(out: Float32Array): Promise<void> {
    const readback = this.#backend.readback();
    readback.add(this.#decoder.logits, 0, out);
    return readback.arrive();
  }

  /** Frees the buffers of a policy. */
  forget(policy: AttentionPolicy): void {
    this.#attention.forget(policy);
  }
}
