import type { Attention, BatchGroup } from "../attention/attend.ts";
import { budgetAt, isSparseAt } from "../attention/budget.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { maskWords } from "../backend/adjust-logits.ts";
import type { Backend, SamplingParams, SamplingRow, StepBatch } from "../backend/backend.ts";
import type { Decoder } from "../model/decoder.ts";
import { chunkOf } from "./share-rows.ts";
import { hasBias, type TokenRuleOptions } from "./token-rules.ts";

/** The demands of a request on the backend. */
export interface PreparedRequest {
  readonly policy: AttentionPolicy;
  /** Equal for policies that record the same ops. */
  readonly policyKey: unknown;
  readonly sampling: SamplingParams;
  readonly rules?: TokenRuleOptions | undefined;
  readonly promptTokens: number;
  /** Maximum cached tokens of the request. */
  readonly longestCache: number;
  /** Rows of a prefill chunk. */
  readonly chunkRows: number;
  /** Sequences of the largest batch that may include it. */
  readonly batchSize: number;
}

/** Objects that record dry runs. */
interface DryRunParts {
  readonly backend: Backend;
  readonly decoder: Decoder;
  readonly attention: Attention;
}

/** A step for a dry run: a prefill chunk, or one row of each sequence. */
interface DryStep {
  readonly rowCounts: readonly number[];
  /** Cached tokens of each sequence after the step. */
  readonly length: number;
  readonly isSparse: boolean;
}

export const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
};
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
  readonly #exclusively: (work: () => Promise<void>) => Promise<void>;
  /** Kinds of steps, sparse ones by policy. A promise is a running compilation; undefined a finished one. */
  readonly #kinds = new Map<unknown, Map<string, Promise<void> | undefined>>();

  /** exclusively: runs work while nobody else uses the backend, because a dry run may create buffers, as a growing cache does */
  constructor(
    { backend, decoder, attention }: DryRunParts,
    exclusively: (work: () => Promise<void>) => Promise<void>,
  ) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
    this.#exclusively = exclusively;
  }

  /**
   * Prepares one sequence, every prefill chunk, and greedy and random sampling, under the default policy of requests. Does
   * nothing if the backend prepares on request only.
   * @throws BackendError if a kernel does not compile
   */
  async prepareDefault(policy: AttentionPolicy, policyKey: unknown): Promise<void> {
    const { compiledRowCounts, capacity } = this.#backend;
    if (compiledRowCounts.length === 0) return;
    for (const sampling of [GREEDY, { ...GREEDY, temperature: 1 }])
      await this.prepareFor({
        ...{ policy, policyKey, sampling, batchSize: 1, chunkRows: capacity.maxBatchRows },
        ...{ promptTokens: 1, longestCache: capacity.maxSequenceLength },
      });
  }

  /**
   * Prepares the kernels of a request; returns undefined if all of them are compiled. Running requests continue meanwhile, and a
   * request waits for its own kernels only.
   * isInUse: returns true if a running request has that policy value
   * @throws BackendError if a kernel does not compile
   */
  prepareFor(
    request: PreparedRequest,
    isInUse: (policy: AttentionPolicy) => boolean = () => false,
  ): Promise<void> | undefined {
    const pending = new Set<Promise<void>>();
    const missing: DryStep[] = [];
    for (const step of this.#stepsOf(request)) {
      const kinds = this.#kindsOf(step, request);
      const kind = kindOf(step, request);
      const compiling = kinds.get(kind);
      if (compiling) pending.add(compiling);
      else if (!kinds.has(kind)) missing.push(step);
    }
    if (missing.length > 0) pending.add(this.#prepare(missing, request, isInUse));
    return pending.size > 0 ? Promise.all(pending).then(() => {}) : undefined;
  }

  /** Compiles the kernels of steps of new kinds. The next request tries a failed kind again. */
  #prepare(
    steps: readonly DryStep[],
    request: PreparedRequest,
    isInUse: (policy: AttentionPolicy) => boolean,
  ): Promise<void> {
    const marked = steps.map((step) => [this.#kindsOf(step, request), kindOf(step, request)] as const);
    const compiling = this.#compile(steps, request).finally(() => {
      if (!isInUse(request.policy)) this.#attention.forget(request.policy);
    });
    for (const [kinds, kind] of marked) kinds.set(kind, compiling);
    compiling.then(
      () => {
        for (const [kinds, kind] of marked) kinds.set(kind, undefined);
      },
      () => {
        for (const [kinds, kind] of marked) kinds.delete(kind);
      },
    );
    return compiling;
  }

  /** Records each dry step while nobody else uses the backend, with real steps in between. Compiles all of them concurrently. */
  async #compile(steps: readonly DryStep[], request: PreparedRequest): Promise<void> {
    const compiled: Promise<void>[] = [];
    for (const step of steps)
      await this.#exclusively(async () => {
        const one = this.#backend.prepare(() => {
          this.#record(step, request);
          this.#attention.takeFailures(); // the real step reports failures again
        });
        one.catch(() => {}); // awaited below
        compiled.push(one);
      });
    await Promise.all(compiled);
  }

  /** Returns the kinds that a step belongs to. Policies share dense steps, unless they differ in key bounds or have gates. */
  #kindsOf(
    { isSparse }: DryStep,
    { policy, policyKey }: PreparedRequest,
  ): Map<string, Promise<void> | undefined> {
    const key = isSparse
      ? policyKey
      : (policy.gates ?? `dense ${policy.pageBounds ?? ""} ${policy.keySketch ?? ""}`);
    const known = this.#kinds.get(key) ?? new Map<string, Promise<void> | undefined>();
    if (this.#kinds.size >= MAX_POLICIES) this.#kinds.clear();
    this.#kinds.set(key, known);
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
      return [step, ...sparseLengths(policy, length).map((at) => ({ ...step, length: at, isSparse: true }))];
    });
    return [...prefill, ...decode];
  }

  #record({ rowCounts, length, isSparse }: DryStep, request: PreparedRequest): void {
    const { policy } = request;
    const numSequences = rowCounts.length;
    const range = { first: 0, count: numSequences };
    const groups: readonly BatchGroup[] = [{ policy, range, isSparse, budget: budgetAt(policy, length) }];
    const batch = this.#batchOf(rowCounts, length);
    this.#decoder.forward(batch, groups);
    // rows in order, as in decode steps, and rows to gather, as in a batch with a prefill chunk
    const last = Uint32Array.from(rowCounts, (rows, sequence) => batch.firstRows[sequence] + rows - 1);
    this.#decoder.computeLogits(last, numSequences);
    this.#decoder.computeLogits(last.toReversed(), numSequences);
    const row = samplingRow(request, this.#backend.model.vocabSize);
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
      validBounds: Uint32Array.from(rowCounts, (rows) => length - rows),
      pageTables: new Uint32Array(numSequences * maxPagesPerSequence),
    };
  }
}

/** Returns a key of the step's properties that determine its kernels. */
function kindOf({ rowCounts, isSparse, length }: DryStep, request: PreparedRequest): string {
  const { policy, sampling, rules } = request;
  const { temperature, repetitionPenalty } = sampling;
  const budget = isSparse ? budgetAt(policy, length) : 0;
  return `${rowCounts},${budget},${temperature === 0},${repetitionPenalty === 1}${rulesKey(rules)}`;
}

function rulesKey(rules: TokenRuleOptions | undefined): string {
  return rules ? `,${hasBias(rules)},${rules.constraint !== undefined}` : "";
}

/** Returns a row that is sampled as those of the request. */
function samplingRow({ sampling, rules }: PreparedRequest, vocabSize: number): SamplingRow {
  return {
    ...{ params: sampling, sampleIndex: 0, seenTokens: [0] },
    bias: rules && hasBias(rules) ? { ids: [0], values: [0] } : undefined,
    mask: rules?.constraint ? new Uint32Array(maskWords(vocabSize)) : undefined,
  };
}

/** Returns lengths of sparse steps, the longest first, down to the first budget: a budget that grows may come to other kernels. */
function sparseLengths(policy: AttentionPolicy, longest: number): number[] {
  const lengths: number[] = [];
  for (let length = longest; isSparseAt(policy, length); length >>= 1) {
    lengths.push(length);
    if (budgetAt(policy, length) === policy.tokenBudget) break;
  }
  return lengths;
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

/** Returns batch sizes that represent all sizes up to `maxSize`. */
function batchesUpTo(maxSize: number, compiledRowCounts: readonly number[]): number[] {
  const classes =
    compiledRowCounts.length > 0 ? compiledRowCounts : Array.from({ length: 32 }, (_, i) => 2 ** i);
  return [...classes.filter((rows) => rows < maxSize), maxSize];
}
