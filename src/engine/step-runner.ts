import type { Attention } from "../attention/attend.ts";
import {
  AttentionObservation,
  type ObservedSequence,
  type ObservedStep,
} from "../attention/observed-attention.ts";
import { type Backend, type InFlightSample, NO_TOKEN, type SamplingRow } from "../backend/backend.ts";
import { BackendError, RequestError } from "../base/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { ActiveRequest } from "./active-request.ts";
import { LogitReads, type LogitsInFlight, rankLogprobs } from "./logprobs.ts";
import { checkPageData, firstStale, markPageData } from "./page-data.ts";
import type { PrefixReuse } from "./prefix-reuse.ts";
import type { ScheduledRun } from "./scheduler.ts";
import { type RopeWriter, type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** The rows of one request in a step. */
interface Run extends SequenceRun {
  readonly request: ActiveRequest;
  /** Its epoch when the step was recorded. */
  readonly epoch: number;
  /** Key and value rows that its attention reads in this step (`CacheReads`). */
  rowsRead: number;
}

/** A recorded step, its sample, its observers, and the requests that receive its tokens. */
export interface RecordedStep {
  /** Runs that receive a token, in the order of the sample's rows. */
  readonly sampled: readonly Run[];
  readonly sample: InFlightSample;
  /** Present if a request asked for logprobs. */
  readonly logits: LogitsInFlight | undefined;
  /** Present if a request observes the step. */
  readonly observed: ObservedRuns | undefined;
  /** True if the next step may be recorded before the host has this one's tokens. */
  readonly canStayInFlight: boolean;
  readonly numRows: number;
  readonly numPrefillRows: number;
  /** Prefill rows of the step: none, without a decoding request, or beside one. */
  readonly prefill: "none" | "alone" | "beside";
  readonly recordedAt: number;
  /** Arrival of its tokens; NaN before. */
  arrivedAt: number;
}

/** The observed sequences of a step, and their requests. */
interface ObservedRuns {
  readonly step: ObservedStep;
  readonly sequences: readonly ObservedSequence[];
  readonly requests: readonly ActiveRequest[];
}

/** Steps whose tokens have arrived. */
export interface StepCounts {
  readonly total: number;
  /** Those with a prefill chunk; they may also decode. */
  readonly prefill: number;
  /** Tokens that they computed. */
  readonly prefillTokens: number;
}

interface StepRunnerParts {
  readonly backend: Backend;
  readonly decoder: Decoder;
  readonly attention: Attention;
  readonly ropes: readonly RopeWriter[];
  readonly prefix: PrefixReuse;
}

/** Records steps, and gives their tokens to the requests. */
export class StepRunner {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  readonly #batch: StepBatchBuilder;
  readonly #logitRows: Uint32Array;
  readonly #logitReads: LogitReads;
  readonly #observation: AttentionObservation;
  readonly #prefix: PrefixReuse;
  readonly #counts = { total: 0, prefill: 0, prefillTokens: 0 };

  constructor({ backend, decoder, attention, ropes, prefix }: StepRunnerParts) {
    this.#prefix = prefix;
    this.#observation = new AttentionObservation(attention, backend);
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
    this.#batch = new StepBatchBuilder(backend, ropes);
    this.#logitRows = new Uint32Array(decoder.logitRows);
    this.#logitReads = new LogitReads(backend);
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
    const observed = runs.some(isObserved) ? this.#observe(ordered) : undefined;
    this.#decoder.forward(this.#batch, this.#batch.groups, observed?.step);
    observed?.step.submit();
    return this.#sampleRuns(this.#withoutFailed(ordered), now, observed);
  }

  get counts(): StepCounts {
    return { ...this.#counts };
  }

  /** Starts observing the runs of a step that observers have sampled. */
  #observe(runs: readonly Run[]): ObservedRuns | undefined {
    const sequences: ObservedSequence[] = [];
    const requests: ActiveRequest[] = [];
    for (let sequence = 0; sequence < runs.length; sequence++) {
      const run = runs[sequence] as Run;
      const { request, firstPosition } = run;
      const { observer } = request.resolved;
      if (!observer || !isObserved(run)) continue;
      const step = firstPosition - request.promptTokens;
      request.numObserved = step + 1;
      const row = this.#batch.firstRows[sequence] as number;
      sequences.push({ observer, step, sequence, row, length: firstPosition + 1 });
      requests.push(request);
    }
    return { sequences, requests, step: this.#observation.start(sequences) };
  }

  #makeRun({ entry: request, numRows, isPrefill }: ScheduledRun<ActiveRequest>, now: number) {
    const { name, tokens, inFlightRow, cachedTokens: firstPosition, resolved, cache } = request;
    const { policy } = resolved;
    try {
      if (!cache?.grow(numRows))
        throw new RangeError(
          `${name}: a step of ${numRows} tokens at position ${firstPosition} has no pages`,
        );
      checkPageData(policy, cache, firstPosition);
      const validBounds = firstStale(policy, cache, firstPosition);
      const run: Run = {
        name,
        tokens,
        inFlightRow,
        pages: cache.pages,
        firstPosition,
        numRows,
        validBounds,
        longest: request.ropeTokens,
        isPrefill,
        policy,
        request,
        epoch: request.epoch,
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

  #sampleRuns(
    runs: readonly (Run | undefined)[],
    recordedAt: number,
    observed: ObservedRuns | undefined,
  ): RecordedStep {
    const rows: SamplingRow[] = [];
    const sampled: Run[] = [];
    for (let sequence = 0; sequence < runs.length; sequence++) {
      const run = runs[sequence];
      if (!run) continue;
      const { request, numRows, validBounds } = run;
      if (validBounds !== undefined && run.policy.pageBounds !== undefined)
        request.cache?.markBoundsValid(validBounds);
      if (request.cache)
        markPageData(run.policy, request.cache, { from: run.firstPosition, stale: validBounds });
      if (run.isPrefill) this.#prefix.keepPrefilled(request, run.firstPosition, numRows);
      run.rowsRead = this.#attention.reads.of(sequence);
      if (request.cachedTokens < request.promptTokens + request.numSampled) continue;
      const row = rowOf(request);
      if (!row) continue;
      this.#logitRows[rows.length] = this.#batch.firstRows[sequence] + numRows - 1;
      rows.push(row);
      sampled.push(run);
    }
    if (rows.length > 0) this.#decoder.computeLogits(this.#logitRows, rows.length);
    const logits = sampled.some(wantsLogprobs) ? this.#readLogits(sampled) : undefined;
    // A prefill chunk that samples nothing still returns a sample, so that the host waits for it and does not queue a whole prompt.
    const sample = this.#backend.sample(this.#decoder.logits, rows);
    for (let row = 0; row < sampled.length; row++) sampled[row]?.request.expect(row);
    // Requests that need every earlier token on the host leave out the step that is recorded ahead; the others take part in it.
    const isAwaited = sampled.length > 0 && sampled.every(({ request }) => request.needsTokens);
    const canStayInFlight = this.#backend.runsAhead && !isAwaited;
    return {
      sampled,
      sample,
      logits,
      observed,
      canStayInFlight,
      numRows: this.#batch.numRows,
      numPrefillRows: runs.reduce((sum, run) => sum + (run?.isPrefill ? run.numRows : 0), 0),
      prefill: prefillKind(runs),
      recordedAt,
      arrivedAt: Number.NaN,
    };
  }

  /** Starts reading the logits of runs that asked for logprobs, before the sample changes them. */
  #readLogits(sampled: readonly Run[]): LogitsInFlight {
    const rows = [...sampled.keys()].filter((row) => wantsLogprobs(sampled[row] as Run));
    return this.#logitReads.start(this.#decoder.logits, rows);
  }

  /**
   * Waits for the tokens of a step and gives them to their requests. Drops the tokens of requests that ended or wrote other tokens meanwhile. Another
   * request may hold their pages already, which is safe because the device runs steps in order.
   */
  async postprocess(step: RecordedStep): Promise<void> {
    const tokens = await step.sample.tokens();
    if (step.logits) await step.logits.arrived;
    step.arrivedAt = performance.now();
    this.#counts.total++;
    if (step.prefill !== "none") this.#counts.prefill++;
    this.#counts.prefillTokens += step.numPrefillRows;
    if (step.observed) await this.#deliverTraces(step.observed);
    for (let row = 0; row < step.sampled.length; row++) {
      const run = step.sampled[row];
      if (!run || run.request.isDone || run.epoch !== run.request.epoch) continue;
      try {
        this.#deliver(step, row, tokens[row]);
      } catch (error) {
        run.request.fail(failure(run.name, error)); // an error of its policy or tokenizer fails it alone
      }
    }
    step.logits?.release();
  }

  /** Gives the traces of a step to their observers. An observer that throws fails its request alone. */
  async #deliverTraces({ step, sequences, requests }: ObservedRuns): Promise<void> {
    await step.arrive();
    for (let i = 0; i < sequences.length; i++) {
      const { observer, sequence } = sequences[i] as ObservedSequence;
      const request = requests[i] as ActiveRequest;
      if (request.isDone) continue;
      try {
        const trace = step.traceOf(sequence);
        if (trace) observer.onStep(trace);
      } catch (error) {
        request.fail(failure(`the observer of ${request.name}`, error));
      }
    }
  }

  #deliver({ sampled, logits, arrivedAt }: RecordedStep, row: number, token: number): void {
    const { request, isPrefill, rowsRead, firstPosition } = sampled[row] as Run;
    const { numLayers, vocabSize } = this.#backend.model;
    if (!isPrefill) request.count(rowsRead, numLayers * (firstPosition + 1));
    if (token < vocabSize) {
      const read = logits?.of(row);
      request.accept(
        token,
        arrivedAt,
        read && rankLogprobs(read, token, request.resolved.logprobs?.count ?? 0),
      );
    } else request.fail(new BackendError(noToken(token, request, vocabSize)));
  }
}

function wantsLogprobs({ request }: Run): boolean {
  return request.resolved.logprobs !== undefined;
}

/** The row of a request's sample. A constraint that throws fails its request alone. */
function rowOf(request: ActiveRequest): SamplingRow | undefined {
  try {
    return request.samplingRow();
  } catch (error) {
    request.fail(failure(`the constraint of ${request.name}`, error));
    return undefined;
  }
}

/** True for a decode step that the request's observer samples, and that it has not seen before a replay. */
function isObserved({ request, isPrefill, firstPosition }: Run): boolean {
  const { observer } = request.resolved;
  if (!observer || isPrefill) return false;
  const step = firstPosition - request.promptTokens;
  return step >= request.numObserved && step % observer.every === 0;
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
  if (resolved.rules?.constraint)
    return `${where}: the constraint allows no token that can be sampled, or the logits hold NaN or infinity; look at its fillMask`;
  const { repetitionPenalty } = resolved.sampling;
  const penalty = repetitionPenalty === 1 ? "" : `, after the repetition penalty of ${repetitionPenalty},`;
  return (
    `${where}: the logits${penalty} hold NaN or infinity, so that no token can be sampled; look for such weights with ` +
    '`lessismore inspect`; if there are none, a number has overflowed: try cacheDtype: "f32" on WebGPU, another ' +
    "backend, and `lessismore doctor`"
  );
}
