import type { Attention, BatchGroup } from "../attention/attend.ts";
import { isSparseAt } from "../attention/attend.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend, SamplingParams, SamplingRow, StepBatch } from "../backend/backend.ts";
import type { Decoder } from "../model/decoder.ts";
import { policyKey } from "./resolve-request.ts";
import { chunkOf } from "./scheduler.ts";

/** What a request will ask of the backend. */
export interface PreparedRequest {
  readonly policy: AttentionPolicy;
  readonly sampling: SamplingParams;
  readonly promptTokens: number;
  /** Tokens whose keys and values it may need. */
  readonly longestCache: number;
  /** Rows of a prefill chunk. */
  readonly chunkRows: number;
  /** Sequences of the largest batch it may run in. */
  readonly batchSize: number;
}

/** One step to run dry: a prefill chunk, or one row of each sequence. */
interface DryStep {
  readonly rowCounts: readonly number[];
  /** Of each sequence, after the step. */
  readonly length: number;
  readonly isSparse: boolean;
}

const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };
/** Policies remembered; a server may be asked for any number of them. */
const MAX_POLICIES = 256;

/**
 * Compiles ahead the kernels of steps that will come, by recording such steps dry: through the decoder and the policies as
 * they are, so that no list of kernels can fall behind them. Each kind of step is recorded once.
 */
export class KernelPreparation {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  /** Kinds of steps that were prepared, by policy. */
  readonly #prepared = new Map<string, Set<string>>();
  #last: Promise<void> | undefined;

  constructor(backend: Backend, decoder: Decoder, attention: Attention) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
  }

  /**
   * The kernels of one sequence, of any prefill chunk and of both ways to draw, for the policy that requests run under by
   * default. Does nothing where the backend prepares only what is asked for.
   * @throws BackendError when a kernel does not compile.
   */
  async prepareDefault(policy: AttentionPolicy): Promise<void> {
    const { preparedRows, capacity } = this.#backend;
    if (preparedRows.length === 0) return;
    for (const sampling of [GREEDY, { ...GREEDY, temperature: 1 }])
      await this.prepareFor({
        ...{ policy, sampling, batchSize: 1, chunkRows: capacity.maxBatchRows },
        ...{ promptTokens: 1, longestCache: capacity.maxSequenceLength },
      });
  }

  /**
   * The kernels that a request adds to what is prepared; undefined where it adds none. Requests are prepared one after the
   * other, while others run.
   * isInUse: whether a running request has that policy value.
   * @throws BackendError when a kernel does not compile.
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
      .catch(() => {}) // is its own request's concern
      .then(() =>
        this.#backend.prepare(() => {
          for (const step of steps) this.#record(step, request);
          this.#attention.takeFailures(); // the step that comes tells of them
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
    const { preparedRows } = this.#backend;
    const chunks = preparedRows.length > 0 ? preparedRows : chunksOf(request);
    const prefill = chunks.map((rows) => ({
      rowCounts: [rows],
      length: Math.max(rows, length),
      isSparse: false,
    }));
    const decode = batchesUpTo(batchSize, preparedRows).flatMap((sequences) => {
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
    // rows in order, as of decode steps, and rows that have to be gathered, as beside a prefill chunk
    const last = Uint32Array.from(rowCounts, (rows, sequence) => batch.firstRows[sequence] + rows - 1);
    this.#decoder.computeLogits(last, numSequences);
    this.#decoder.computeLogits(last.toReversed(), numSequences);
    const row: SamplingRow = { params: sampling, draw: 0, seenTokens: [0] };
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
      firstRows: Uint32Array.from(rowCounts.keys()), // right for single rows and a single chunk
      rowCounts: Uint32Array.from(rowCounts),
      lengths: new Uint32Array(numSequences).fill(length),
      pageTables: new Uint32Array(numSequences * maxPagesPerSequence),
    };
  }
}

/** What of a step decides which kernels it takes. */
function kindOf({ rowCounts, isSparse }: DryStep, { sampling }: PreparedRequest): string {
  const { temperature, repetitionPenalty } = sampling;
  return `${rowCounts},${isSparse},${temperature === 0},${repetitionPenalty === 1}`;
}

/** The prefill chunks of a prompt that has the steps for itself. */
function chunksOf({ promptTokens, chunkRows }: PreparedRequest): number[] {
  const chunks = new Set<number>();
  for (let left = promptTokens; left > 0; ) {
    const rows = chunkOf(left, chunkRows);
    chunks.add(rows);
    left -= rows;
  }
  return [...chunks];
}

/** Numbers of sequences that stand for all up to `most`. */
function batchesUpTo(most: number, preparedRows: readonly number[]): number[] {
  const classes = preparedRows.length > 0 ? preparedRows : Array.from({ length: 32 }, (_, i) => 2 ** i);
  return [...classes.filter((rows) => rows < most), most];
}
