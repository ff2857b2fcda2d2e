import type { Attention } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import { type Backend, type InFlightSample, NO_TOKEN, type SamplingRow } from "../backend/backend.ts";
import { BackendError, RequestError } from "../base/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { ActiveRequest } from "./active-request.ts";
import { CHUNK_ROWS, type ScheduledRun } from "./scheduler.ts";
import { type RopeWriter, type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** The rows of one request in a step. */
interface Run extends SequenceRun {
  readonly request: ActiveRequest;
  /** Key and value rows that its attention reads in this step (`CacheReads`). */
  rowsRead: number;
}

/** A recorded step, its sample, and the requests that receive its tokens. */
export interface RecordedStep {
  /** Runs that receive a token, in the order of the sample's rows. */
  readonly sampled: readonly Run[];
  readonly sample: InFlightSample;
  /** True if the next step may be recorded before the host has this one's tokens. */
  readonly canStayInFlight: boolean;
  readonly numRows: number;
  /** Prefill rows of the step: none, without a decoding request, or beside one. */
  readonly prefill: "none" | "alone" | "beside";
  readonly recordedAt: number;
  /** Arrival of its tokens; NaN before. */
  arrivedAt: number;
}

/** Records steps, and gives their tokens to the requests. */
export class StepRunner {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  readonly #batch: StepBatchBuilder;
  readonly #logitRows: Uint32Array;

  constructor(backend: Backend, decoder: Decoder, attention: Attention, ropes: readonly RopeWriter[]) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
    this.#batch = new StepBatchBuilder(backend, ropes);
    this.#logitRows = new Uint32Array(decoder.logitRows);
  }

  /**
   * Records one step of the scheduled requests, and a sample for each request whose known tokens are all cached after it. A request
   * that cannot take part fails alone. Returns undefined if none remains.
   */
  run(scheduled: readonly ScheduledRun<ActiveRequest>[]): RecordedStep | undefined {
    const now = performance.now();
    const runs: Run[] = [];
    for (const one of scheduled) {
      const run = this.#makeRun(one, now);
      if (run) runs.push(run);
    }
    if (runs.length === 0) return undefined;
    const ordered = this.#batch.fill(runs);
    this.#decoder.forward(this.#batch, this.#batch.groups);
    return this.#sampleRuns(this.#withoutFailed(ordered), now);
  }

  #makeRun({ entry: request, numRows, isPrefill }: ScheduledRun<ActiveRequest>, now: number) {
    const { name, tokens, inFlightRow, cachedTokens: firstPosition, resolved, cache } = request;
    const { policy } = resolved;
    try {
      if (!cache?.grow(numRows))
        throw new RangeError(
          `${name}: a step of ${numRows} tokens at position ${firstPosition} has no pages`,
        );
      const validBounds = policy.pageBounds === undefined ? undefined : cache.validBounds;
      const run: Run = {
        name,
        tokens,
        inFlightRow,
        pages: cache.pages,
        firstPosition,
        numRows,
        validBounds,
        longest: request.longestCache,
        isPrefill,
        policy,
        request,
        rowsRead: 0,
      };
      this.#batch.check(run);
      request.start(now);
      return run;
    } catch (error) {
      request.fail(failure(name, error));
      return undefined;
    }
  }

  /** Fails the requests whose policies threw in this step. The other requests keep their sequences of the batch. */
  #withoutFailed(runs: readonly Run[]): readonly (Run | undefined)[] {
    const failures = this.#attention.takeFailures();
    if (failures.size === 0) return runs;
    const left: (Run | undefined)[] = [...runs];
    for (const [{ range, policy }, thrown] of failures)
      for (let sequence = range.first; sequence < range.first + range.count; sequence++) {
        left[sequence]?.request.fail(failure(`attention ${policy.name}`, thrown));
        left[sequence] = undefined;
      }
    return left;
  }

  #sampleRuns(runs: readonly (Run | undefined)[], recordedAt: number): RecordedStep {
    const rows: SamplingRow[] = [];
    const sampled: Run[] = [];
    for (let sequence = 0; sequence < runs.length; sequence++) {
      const run = runs[sequence];
      if (!run) continue;
      const { request, numRows, validBounds } = run;
      if (validBounds !== undefined) request.cache?.markBoundsValid(validBounds);
      run.rowsRead = this.#attention.reads.of(sequence);
      if (request.cachedTokens < request.promptTokens + request.numSampled) continue;
      this.#logitRows[rows.length] = this.#batch.firstRows[sequence] + numRows - 1;
      const { sampling: params } = request.resolved;
      rows.push({ params, sampleIndex: request.numSampled, seenTokens: request.tokens });
      sampled.push(run);
    }
    if (rows.length > 0) this.#decoder.computeLogits(this.#logitRows, rows.length);
    // A prefill chunk that samples nothing still returns a sample, so that the host waits for it and does not queue a whole prompt.
    const sample = this.#backend.sample(this.#decoder.logits, rows);
    for (let row = 0; row < sampled.length; row++) sampled[row]?.request.expect(row);
    // A repetition penalty needs every earlier token on the host, so its whole batch cannot run ahead. Such requests are rare.
    const hasPenalty = rows.some(({ params }) => params.repetitionPenalty !== 1);
    const canStayInFlight = this.#backend.runsAhead && !hasPenalty;
    return {
      sampled,
      sample,
      canStayInFlight,
      numRows: this.#batch.numRows,
      prefill: prefillKind(runs),
      recordedAt,
      arrivedAt: Number.NaN,
    };
  }

  /**
   * Waits for the tokens of a step and gives them to their requests. Drops the tokens of requests that ended meanwhile. Another
   * request may hold their pages already, which is safe because the device runs steps in order.
   */
  async postprocess(step: RecordedStep): Promise<void> {
    const tokens = await step.sample.tokens();
    step.arrivedAt = performance.now();
    for (let row = 0; row < step.sampled.length; row++) {
      const run = step.sampled[row];
      if (!run || run.request.isDone) continue;
      try {
        this.#deliver(run, tokens[row], step.arrivedAt);
      } catch (error) {
        run.request.fail(failure(run.name, error)); // an error of its policy or tokenizer fails it alone
      }
    }
  }

  #deliver({ request, isPrefill, rowsRead, firstPosition }: Run, token: number, now: number): void {
    const { numLayers, vocabSize } = this.#backend.model;
    if (!isPrefill) request.count(rowsRead, numLayers * (firstPosition + 1));
    if (token < vocabSize) request.accept(token, now);
    else request.fail(new BackendError(noToken(token, request, vocabSize)));
  }

  /**
   * Computes dense logits of `numRows` positions of a sequence from `first` on: f32 [numRows, vocabSize], into `out` from the row of
   * `first`. Earlier positions are cached. numRows: at most maxBatchRows
   */
  async denseLogits(
    sequence: { readonly tokens: readonly number[]; readonly pages: readonly number[] },
    { first, numRows }: { readonly first: number; readonly numRows: number },
    out: Float32Array,
  ): Promise<void> {
    const { vocabSize } = this.#backend.model;
    const { logits, logitRows } = this.#decoder;
    const run = {
      name: "logits",
      ...sequence,
      firstPosition: first,
      numRows,
      longest: sequence.tokens.length,
      isPrefill: true,
      policy: full(),
    };
    this.#batch.check(run);
    this.#batch.fill([run]);
    this.#decoder.forward(this.#batch, this.#batch.groups);
    for (let row = 0; row < numRows; row += logitRows) {
      const count = Math.min(logitRows, numRows - row);
      // repeats the last row, because other kernels, with other bits, compute fewer rows than CHUNK_ROWS
      const computed = Math.min(logitRows, Math.max(count, CHUNK_ROWS));
      for (let i = 0; i < computed; i++) this.#logitRows[i] = row + Math.min(i, count - 1);
      this.#decoder.computeLogits(this.#logitRows, computed);
      const values = await this.#backend.read(logits);
      out.set(values.subarray(0, count * vocabSize), (first + row) * vocabSize);
    }
  }
}

function prefillKind(runs: readonly (Run | undefined)[]): RecordedStep["prefill"] {
  const hasPrefill = runs.some((run) => run?.isPrefill);
  if (!hasPrefill) return "none";
  return runs.some((run) => run?.isPrefill === false) ? "beside" : "alone";
}

/** Returns the error of a request whose own policy, tokenizer or run failed. */
function failure(what: string, thrown: unknown): RequestError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new RequestError(`${what} failed: ${message}`, { cause: thrown });
}

/** Explains a missing next token, and names remedies. */
function noToken(token: number, { tokens, resolved }: ActiveRequest, vocabSize: number): string {
  const where = `decoding the token at position ${tokens.length}`;
  if (token !== NO_TOKEN)
    return (
      `${where}: the backend sampled token ${token} of a vocabulary of ${vocabSize}; ` +
      "look for wrong kernels with `lessismore doctor`"
    );
  const { repetitionPenalty } = resolved.sampling;
  const penalty = repetitionPenalty === 1 ? "" : `, after the repetition penalty of ${repetitionPenalty},`;
  return (
    `${where}: the logits${penalty} hold NaN or infinity, so that no token can be sampled; look for such weights with ` +
    '`lessismore inspect`; if there are none, a number has overflowed: try cacheDtype: "f32" on WebGPU, another ' +
    "backend, and `lessismore doctor`"
  );
}
