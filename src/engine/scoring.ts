import type { ObservedStep } from "../attention/observed-attention.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import { throwIfAborted } from "../base/abort.ts";
import { BackendError } from "../base/errors.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import type { GroupSizes, SequenceGroup } from "../kv/sequence-group.ts";
import { observerFailed, onLogitsFailed } from "./engine-failures.ts";
import { type ForcedSequence, type ForcedSteps, forcedSequence } from "./forced-steps.ts";
import type { PreparedRequest } from "./kernel-preparation.ts";
import { canSharePrefill, prefixPolicy } from "./page-data.ts";
import type { GenerationTimings } from "./request.ts";
import type { ResolvedScore } from "./resolve-score.ts";
import type { ScoreResult } from "./score.ts";
import { CHUNK_ROWS, chunkOf } from "./share-rows.ts";

/** Maximum milliseconds of work between turns of the event loop. */
const MAX_BUSY_MS = 8;

/** Facts about the backend. */
export type ScorerBackend = Pick<Backend, "runsAhead"> & {
  readonly model: Pick<Backend["model"], "vocabSize">;
  readonly capacity: Pick<Backend["capacity"], "pageSize" | "maxBatchSequences">;
};

/** Callbacks of the scorer to its engine. */
export interface ScorerHost {
  /** Loads the weights of a policy and takes its memory; returns undefined if it lacks nothing. @throws ModelFileError, ConfigError, BackendError */
  load(policy: AttentionPolicy): Promise<void> | undefined;
  /** @throws OutOfPagesError if the pool can never hold the sequences */
  checkFits(doing: string, sizes: GroupSizes): void;
  /** Compiles the kernels of steps; returns undefined if they are there. */
  prepare(demand: Omit<PreparedRequest, "chunkRows">): Promise<void> | undefined;
  /**
   * Runs work while nobody else uses the backend. A RequestError fails the call alone, any other error the engine.
   * @throws BackendError, RequestError; AbortedError if the engine is closed
   */
  turn<T>(work: () => T | Promise<T>): Promise<T>;
  /** Awaits data of the backend. @throws BackendError, after which the engine has failed */
  guard<T>(data: Promise<T>): Promise<T>;
  /** Queues for pages. */
  reserve(
    doing: string,
    sizes: GroupSizes,
  ): { readonly group: Promise<SequenceGroup>; readonly release: () => void };
  /** Maximum rows of the next prefill chunk. */
  prefillRows(): number;
  /** Takes the time of a prefill chunk, from its record to now. */
  arrived(numRows: number, recordedAt: number): void;
}

/** Objects that a call needs. */
interface ScoringParts {
  readonly steps: ForcedSteps;
  readonly backend: ScorerBackend;
  readonly host: ScorerHost;
}

/** Logits on their way to the host: of `count` sequences from `first` on. */
interface Arriving {
  readonly first: number;
  readonly count: number;
  /** Position of the token that they predict. */
  readonly position: number;
  /** f32 [vocabSize] of each sequence. */
  readonly rows: readonly Float32Array[];
  readonly arrival: Promise<void>;
  readonly observed: ObservedStep | undefined;
}

/**
 * Sizes of the sequences of a call. Several policies share the prefill of the prompt's first pages; each prefills its rest, of
 * at least CHUNK_ROWS rows, because other kernels, with other bits, compute fewer.
 */
export function groupSizesOf(
  { tokens, from, policies }: Pick<ResolvedScore, "tokens" | "from" | "policies">,
  pageSize: number,
): GroupSizes {
  const unit = Math.max(pageSize, CHUNK_ROWS);
  const isShared = policies.length > 1 && canSharePrefill(policies.map(({ policy }) => policy));
  const shared = !isShared ? 0 : Math.floor(Math.max(0, from - CHUNK_ROWS) / unit) * unit;
  return { numSequences: policies.length, tokens: tokens.length - 1, sharedTokens: shared };
}

/** Sequences of a decode step: all, or equal shares of at most so many as a batch has. */
export function batchSizeOf(numSequences: number, maxBatchSequences: number): number {
  return Math.ceil(numSequences / Math.ceil(numSequences / maxBatchSequences));
}

/** Returns the natural logarithm of a token's probability; NaN if the logits hold NaN or +Infinity, or are all masked. */
export function logProbOf(logits: Float32Array, token: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i] > largest) largest = logits[i];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - largest);
  return logits[token] - largest - Math.log(sum);
}

/** One call of `score` or `scoreEach`, in the pages of its group. */
export class Scoring {
  readonly #call: ResolvedScore;
  readonly #group: SequenceGroup;
  readonly #steps: ForcedSteps;
  readonly #runsAhead: boolean;
  readonly #maxBatchSequences: number;
  readonly #host: ScorerHost;
  readonly #shared: GroupSizes;
  readonly #logProbs: readonly Float32Array[];
  #sequences: readonly ForcedSequence[] = [];
  /** Rows of logits of the step that is recorded, and of the one that is read. */
  readonly #buffers: readonly (readonly Float32Array[])[];
  #numRead = 0;
  /** Logits of the last step, until they are delivered. */
  #arriving: Arriving | undefined;
  #lastYield = performance.now();

  constructor(call: ResolvedScore, group: SequenceGroup, { steps, backend, host }: ScoringParts) {
    const { tokens, from, policies } = call;
    this.#call = call;
    this.#group = group;
    this.#steps = steps;
    this.#host = host;
    const { runsAhead, model, capacity } = backend;
    this.#runsAhead = runsAhead;
    this.#maxBatchSequences = capacity.maxBatchSequences;
    this.#shared = groupSizesOf(call, capacity.pageSize);
    this.#logProbs = policies.map(() => new Float32Array(tokens.length - from));
    const rows = Math.min(policies.length, capacity.maxBatchSequences);
    this.#buffers = (runsAhead ? [0, 1] : [0]).map(() => logitRowsOf(rows, model.vocabSize));
  }

  async run(): Promise<readonly ScoreResult[]> {
    const { from, tokens, policies } = this.#call;
    const startedAt = performance.now();
    await this.#prefillShared();
    for (let first = 0; first < policies.length; ) first += await this.#prefillOwn(first);
    await this.#deliverLast();
    const decodingAt = performance.now();
    for (let position = from + 1; position < tokens.length; position++) await this.#decode(position);
    await this.#deliverLast();
    const decodeMs = performance.now() - decodingAt;
    const msPerToken = decodeMs / Math.max(1, tokens.length - 1 - from);
    const timings = { prefillMs: decodingAt - startedAt, decodeMs, msPerToken };
    return policies.map((_, index) => this.#resultOf(index, timings));
  }

  /** Prefills the pages that all sequences share, under a policy with the data of pages that theirs need: prefill is dense under any. */
  async #prefillShared(): Promise<void> {
    const { doing, tokens, policies, observer } = this.#call;
    const { sharedTokens, tokens: longest } = this.#shared;
    const policy = prefixPolicy(policies.map((scored) => scored.policy));
    const prefix = forcedSequence(doing, tokens, this.#group.prefix, { policy, longest });
    while (prefix.cache.length < sharedTokens)
      await this.#turn(() => this.#chunk(prefix, sharedTokens - prefix.cache.length));
    this.#sequences = this.#group
      .fork()
      .map((cache, i) =>
        forcedSequence(doing, tokens, cache, { longest, observer, policy: policies[i]?.policy ?? policy }),
      );
  }

  /** Runs a prefill chunk and waits for it. */
  async #chunk(sequence: ForcedSequence, left: number): Promise<void> {
    const recordedAt = performance.now();
    const numRows = chunkOf(left, this.#host.prefillRows());
    this.#steps.record([sequence], numRows, true);
    await this.#steps.finish();
    this.#host.arrived(numRows, recordedAt);
  }

  /**
   * Prefills the rest of the prompt of the sequence `first`, and of those after it that fit into the same chunk. Returns the number
   * of sequences that are done.
   */
  async #prefillOwn(first: number): Promise<number> {
    const { from } = this.#call;
    const { cache } = this.#sequences[first] as ForcedSequence;
    let count = 0;
    while (count === 0) {
      const before = await this.#turn(async () => {
        const left = from - cache.length;
        const limit = this.#host.prefillRows();
        if (left > limit) {
          await this.#chunk(this.#sequences[first] as ForcedSequence, left);
          return undefined;
        }
        // a sequence that took chunks of its own has fewer rows left than the others
        const isFirstChunk = cache.length === this.#shared.sharedTokens;
        const most = Math.min(this.#maxBatchSequences, this.#sequences.length - first);
        count = isFirstChunk ? Math.min(most, Math.floor(limit / left)) : 1;
        return this.#record({ first, count, numRows: left, position: from });
      });
      await this.#delivered(before);
    }
    return count;
  }

  /** Feeds the token before `position` to every sequence, as a decode step. */
  async #decode(position: number): Promise<void> {
    const { length } = this.#sequences;
    const batchSize = batchSizeOf(length, this.#maxBatchSequences);
    for (let first = 0; first < length; first += batchSize) {
      const count = Math.min(batchSize, length - first);
      await this.#delivered(await this.#turn(() => this.#record({ first, count, numRows: 1, position })));
    }
  }

  /** Takes a turn of the backend, between turns of the event loop. */
  async #turn<T>(work: () => T | Promise<T>): Promise<T> {
    if (performance.now() - this.#lastYield >= MAX_BUSY_MS) {
      await yieldToEventLoop();
      this.#lastYield = performance.now();
    }
    throwIfAborted(this.#call.signal, this.#call.doing);
    return this.#host.turn(work);
  }

  /** Records a step and its logits. Returns the logits of the step before, which may not have arrived. */
  #record(step: {
    readonly first: number;
    readonly count: number;
    readonly numRows: number;
    readonly position: number;
  }): Arriving | undefined {
    const { first, count, numRows, position } = step;
    const isPrefill = position === this.#call.from;
    const observed = this.#steps.record(this.#sequences.slice(first, first + count), numRows, isPrefill);
    const rows = this.#buffers[this.#numRead++ % this.#buffers.length] ?? [];
    const arrival = this.#steps.readLast(rows.slice(0, count));
    arrival.catch(() => {}); // awaited when they are delivered
    const before = this.#arriving;
    this.#arriving = { first, count, position, rows, arrival, observed };
    return before;
  }

  /** Delivers the logits of the step before; on a backend whose steps have run, those of the last step too. */
  async #delivered(before: Arriving | undefined): Promise<void> {
    if (before) await this.#deliver(before);
    if (!this.#runsAhead) await this.#deliverLast();
  }

  async #deliverLast(): Promise<void> {
    const last = this.#arriving;
    this.#arriving = undefined;
    if (last) await this.#deliver(last);
  }

  async #deliver({ first, count, position, rows, arrival, observed }: Arriving): Promise<void> {
    await this.#host.guard(arrival);
    if (observed) await this.#deliverTrace(observed);
    const { doing, tokens, from, onLogits } = this.#call;
    for (let i = 0; i < count; i++) {
      const logits = rows[i] as Float32Array;
      const logProb = logProbOf(logits, tokens[position] as number);
      if (Number.isNaN(logProb)) throw notFinite(doing, position);
      (this.#logProbs[first + i] as Float32Array)[position - from] = logProb;
      try {
        onLogits?.(first + i, position, logits);
      } catch (cause) {
        throw onLogitsFailed(doing, position, cause);
      }
    }
  }

  /** Gives the trace of a step to the observer. */
  async #deliverTrace(observed: ObservedStep): Promise<void> {
    const { doing, observer } = this.#call;
    await this.#host.guard(observed.arrive());
    const trace = observed.traceOf(0);
    try {
      if (trace) observer?.onStep(trace);
    } catch (cause) {
      throw observerFailed(doing, cause);
    }
  }

  #resultOf(index: number, timings: GenerationTimings): ScoreResult {
    const { policy, notes } = this.#call.policies[index] as ResolvedScore["policies"][number];
    const { attendedRows, cachedRows } = this.#sequences[index] as ForcedSequence;
    const { name, settings, selectionLayersFrom: from } = policy;
    return {
      logProbs: this.#logProbs[index] as Float32Array,
      attendedFraction: cachedRows === 0 ? 1 : attendedRows / cachedRows,
      attention: { name, settings, ...(from && { selectionLayersFrom: from }) },
      timings,
      notes,
    };
  }
}

/** Views of one array, so that a step allocates none. */
function logitRowsOf(numRows: number, vocabSize: number): readonly Float32Array[] {
  const all = new Float32Array(numRows * vocabSize);
  return Array.from({ length: numRows }, (_, row) => all.subarray(row * vocabSize, (row + 1) * vocabSize));
}

function notFinite(doing: string, position: number): BackendError {
  return new BackendError(
    `${doing}: the logits of the token at position ${position} hold NaN or infinity; look for such weights with ` +
      '`lessismore inspect`; if there are none, a number has overflowed: try cacheDtype: "f32" on WebGPU, another ' +
      "backend, and `lessismore doctor`",
  );
}
