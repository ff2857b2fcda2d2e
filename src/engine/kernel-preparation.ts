import type { Attention, BatchGroup } from "../attention/attend.ts";
import { isSparseAt } from "../attention/attend.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend, SamplingParams, SamplingRow, StepBatch } from "../backend/backend.ts";
import type { Decoder } from "../model/decoder.ts";
import { policyKey } from "./resolve-request.ts";
import { chunkOf } from "./scheduler.ts";

/** The demands of a request on the backend. */
export interface PreparedRequest {
  readonly policy: AttentionPolicy;
  readonly sampling: SamplingParams;
  readonly promptTokens: number;
  /** Maximum cached tokens of the request. */
  readonly longestCache: number;
  /** Rows of a prefill chunk. */
  readonly chunkRows: number;
  /** Sequences of the largest batch that may include it. */
  readonly batchSize: number;
}

/** A step for a dry run: a prefill chunk, or one row of each sequence. */
interface DryStep {
  readonly rowCounts: readonly number[];
  /** Cached tokens of each sequence after the step. */
  readonly length: number;
  readonly isSparse: boolean;
}

const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };
/** Maximum policies remembered, since a server may receive any number. */
const MAX_POLICIES = 256;

/**
 * Compiles kernels of later steps ahead, by dry runs of such steps through the real decoder and policies, so that no list of
 * kernels needs maintenance. It runs each kind of step once.
 */
export class KernelPreparation {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  /** Prepared kinds of steps, by policy. */
  readonly #prepared = new Map<string, Set<string>>();
  #last: Promise<void> | undefined;

  constructor(backend: Backend, decoder: Decoder, attention: Attention) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
  }

  /**
   * Prepares one sequence, every prefill chunk, and greedy and random sampling, under the default policy of requests. Does
   * nothing if the backend prepares on request only.
   * @throws BackendError when a kernel does not compile
   */
  async prepareDefault(policy: AttentionPolicy): Promise<void> {
    const { compiledRowCounts, capacity } = this.#backend;
    if (compiledRowCounts.length === 0) return;
    for (const sampling of [GREEDY, { ...GREEDY, temperature: 1 }])
      await this.prepareFor({
        ...{ policy, sampling, batchSize: 1, chunkRows: capacity.maxBatchRows },
        ...{ promptTokens: 1, longestCache: capacity.maxSequenceLength },
      });
  }

  /**
   * Prepares the kernels of a request that are not prepared yet; returns undefined if it needs none and none is pending.
   * Requests are prepared in sequence, while others run.
   * isInUse: returns true if a running request has that policy value.
   * @throws BackendError when a kernel does not compile
   */
  prepareFor(
    request: PreparedRequest,
    isInUse: (policy: AttentionPolicy) => boolean = () => false,
  ): Promise<void> | undefined {
    const kinds = this.#kindsOf(policyKey(request.policy));
    const steps = this.#stepsOf(request).filter((step) => !kinds.has(kindOf(step, request)));
    if (steps.length === 0) return this.#last;
    for (const step of steps) kinds.add(kindOf(step, request));
    const before = this.#last ?? Promise.resolve();
    const prepared = before
      .catch(() => {}) // its own request reports the failure
      .then(() =>
        this.#backend.prepare(() => {
          for (const step of steps) this.#record(step, request);
          this.#attention.takeFailures(); // the real step reports them again
          if (!isInUse(request.policy)) this.#attention.forget(request.policy);
        }),
      )
      .catch((error: unknown) => {
        for (const step of steps) kinds.delete(kindOf(step, request));
        throw error;
      })
      .finally(() => {
        if (this.#last === prepared) this.#last = undefined;
      });
    this.#last = prepared;
    return prepared;
  }

  #kindsOf(key: string): Set<string> {
    const known = this.#prepared.get(key) ?? new Set<string>();
    if (this.#prepared.size >= MAX_POLICIES) this.#prepared.clear();
    this.#prepared.set(key, known);
    return known;
  }

  #stepsOf(request: PreparedRequest): DryStep[] {
    const { policy, longestCache: length, batchSize } = request;
    const { compiledRowCounts } = this.#backend;
    const chunks = compiledRowCounts.length > 0 ? compiledRowCounts : chunksOf(request);
    const prefill = chunks.map((rows) => ({
      rowCounts: [rows],
      length: Math.max(rows, length),
      isSparse: false,
    }));
    const decode = batchesUpTo(batchSize, compiledRowCounts).flatMap((sequences) => {
      const step = { rowCounts: Array<number>(sequences).fill(1), length, isSparse: false };
      return isSparseAt(policy, length) ? [step, { ...step, isSparse: true }] : [step];
    });
    return [...prefill, ...decode];
  }

  #record({ rowCounts, length, isSparse }: DryStep, { policy, sampling }: PreparedRequest): void {
    const numSequences = rowCounts.length;
    const groups: readonly BatchGroup[] = [{ policy, range: { first: 0, count: numSequences }, isSparse }];
    const batch = this.#batchOf(rowCounts, length);
    this.#decoder.forward(batch, groups);
    // rows in order, as in decode steps, and rows to gather, as in a batch with a prefill chunk
    const last = Uint32Array.from(rowCounts, (rows, sequence) => batch.firstRows[sequence] + rows - 1);
    this.#decoder.computeLogits(last, numSequences);
    this.#decoder.computeLogits(last.toReversed(), numSequences);
    const row: SamplingRow = { params: sampling, sampleIndex: 0, seenTokens: [0] };
    this.#backend.sample(this.#decoder.logits, Array<SamplingRow>(numSequences).fill(row));
  }

  #batchOf(rowCounts: readonly number[], length: number): StepBatch {
    const { model, capacity } = this.#backend;
    const { pageSize, maxSequenceLength } = capacity;
    const numRows = rowCounts.reduce((sum, rows) => sum + rows, 0);
    const numSequences = rowCounts.length;
    const maxPagesPerSequence = Math.ceil(maxSequenceLength / pageSize);
    return {
      ...{ numRows, numSequences, maxPagesPerSequence },
      tokenIds: new Uint32Array(numRows),
      slots: new Uint32Array(numRows),
      rope: new Float32Array(numRows * model.headDim),
      firstRows: Uint32Array.from(rowCounts.keys()), // correct for single rows, and for a single chunk
      rowCounts: Uint32Array.from(rowCounts),
      lengths: new Uint32Array(numSequences).fill(length),
      boundsFrom: Uint32Array.from(rowCounts, (rows) => length - rows),
      pageTables: new Uint32Array(numSequences * maxPagesPerSequence),
    };
  }
}

/** Returns a key of the step's properties that determine its kernels. */
function kindOf({ rowCounts, isSparse }: DryStep, { sampling }: PreparedRequest): string {
  const { temperature, repetitionPenalty } = sampling;
  return `${rowCounts},${isSparse},${temperature === 0},${repetitionPenalty === 1}`;
}

/** Returns the prefill chunks of a prompt without other requests. */
function chunksOf({ promptTokens, chunkRows }: PreparedRequest): number[] {
  const chunks = new Set<number>();
  for (let left = promptTokens; left > 0; ) {
    const rows = chunkOf(left, chunkRows);
    chunks.add(rows);
    left -= rows;
  }
  return [...chunks];
}

/** Returns batch sizes that represent all sizes up to `most`. */
function batchesUpTo(most: number, compiledRowCounts: readonly number[]): number[] {
  const classes =
    compiledRowCounts.length > 0 ? compiledRowCounts : Array.from({ length: 32 }, (_, i) => 2 ** i);
  return [...classes.filter((rows) => rows < most), most];
}
