import type { Attention } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import { type Backend, type InFlightSample, NO_TOKEN, type SamplingRow } from "../backend/backend.ts";
import { BackendError, RequestError } from "../base/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { ActiveRequest } from "./active-request.ts";
import { CHUNK_ROWS, type ScheduledRun } from "./scheduler.ts";
import { type RopeWriter, type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** One request's part in a step. */
interface Run extends SequenceRun {
  readonly generation: ActiveRequest;
  /** What its attention reads in this step (`CacheReads`). */
  rowsRead: number;
}

/** A recorded step: what it draws, for whom. */
export interface Step {
  /** Requests that get a token, in the order of the draw's rows. */
  readonly drawn: readonly Run[];
  readonly draw: InFlightSample;
  /** The next step may be recorded before this one's tokens are read. */
  readonly canStayInFlight: boolean;
  readonly numRows: number;
  /** Prefill rows in it: none, or such as nobody, or somebody, decodes beside. */
  readonly prefill: "none" | "alone" | "beside";
  readonly recordedAt: number;
  /** When its tokens arrived; NaN before. */
  arrivedAt: number;
}

/** Records steps, and hands what they drew to the requests. */
export class StepRunner {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #attention: Attention;
  readonly #batch: StepBatchBuilder;
  readonly #logitRows: Uint32Array;

  constructor(backend: Backend, decoder: Decoder, attention: Attention, rope: RopeWriter) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#attention = attention;
    this.#batch = new StepBatchBuilder(backend, rope);
    this.#logitRows = new Uint32Array(decoder.logitRows);
  }

  /**
   * Records one step of the scheduled requests and the draw of every one whose cache is complete after it. A request that
   * cannot take part fails alone; undefined where none is left.
   */
  run(scheduled: readonly ScheduledRun<ActiveRequest>[]): Step | undefined {
    const now = performance.now();
    const runs: Run[] = [];
    for (const one of scheduled) {
      const run = this.#prepare(one, now);
      if (run) runs.push(run);
    }
    if (runs.length === 0) return undefined;
    const ordered = this.#batch.fill(runs);
    this.#decoder.forward(this.#batch, this.#batch.groups);
    return this.#draw(this.#withoutFailed(ordered), now);
  }

  #prepare({ entry: generation, numRows, isPrefill }: ScheduledRun<ActiveRequest>, now: number) {
    const { name, tokens, inFlightRow, cachedTokens: firstPosition, resolved, cache } = generation;
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
        isPrefill,
        policy,
        generation,
        rowsRead: 0,
      };
      this.#batch.check(run);
      generation.start(now);
      return run;
    } catch (error) {
      generation.fail(failure(name, error));
      return undefined;
    }
  }

  /** Fails the requests whose policies threw in this step; the others' places in the batch stay as they are. */
  #withoutFailed(runs: readonly Run[]): readonly (Run | undefined)[] {
    const failures = this.#attention.takeFailures();
    if (failures.size === 0) return runs;
    const left: (Run | undefined)[] = [...runs];
    for (const [{ range, policy }, thrown] of failures)
      for (let sequence = range.first; sequence < range.first + range.count; sequence++) {
        left[sequence]?.generation.fail(failure(`attention ${policy.name}`, thrown));
        left[sequence] = undefined;
      }
    return left;
  }

  #draw(runs: readonly (Run | undefined)[], recordedAt: number): Step {
    const rows: SamplingRow[] = [];
    const drawn: Run[] = [];
    for (let sequence = 0; sequence < runs.length; sequence++) {
      const run = runs[sequence];
      if (!run) continue;
      const { generation, numRows, validBounds } = run;
      if (validBounds !== undefined) generation.cache?.markBoundsValid(validBounds);
      run.rowsRead = this.#attention.reads.of(sequence);
      if (generation.cachedTokens < generation.promptTokens + generation.numSampled) continue;
      this.#logitRows[rows.length] = this.#batch.firstRows[sequence] + numRows - 1;
      const { sampling: params } = generation.resolved;
      rows.push({ params, sampleIndex: generation.numSampled, seenTokens: generation.tokens });
      drawn.push(run);
    }
    if (rows.length > 0) this.#decoder.computeLogits(this.#logitRows, rows.length);
    // A prefill chunk that samples nothing still returns a sample, so that the host waits for it and does not queue a whole prompt.
    const draw = this.#backend.sample(this.#decoder.logits, rows);
    for (let row = 0; row < drawn.length; row++) drawn[row]?.generation.expect(row);
    // The penalty looks at every token so far, so its requests hold up those they share a batch with: simpler than two
    // kinds of requests in one step, and rare.
    const hasPenalty = rows.some(({ params }) => params.repetitionPenalty !== 1);
    const canStayInFlight = this.#backend.runsAhead && !hasPenalty;
    return {
      drawn,
      draw,
      canStayInFlight,
      numRows: this.#batch.numRows,
      prefill: prefillKind(runs),
      recordedAt,
      arrivedAt: Number.NaN,
    };
  }

  /**
   * Waits for the tokens of a step and hands them over. Tokens for requests that ended in the meantime are dropped; their
   * pages may already be another's, which is safe because the device runs steps in order.
   */
  async postprocess(step: Step): Promise<void> {
    const tokens = await step.draw.tokens();
    step.arrivedAt = performance.now();
    for (let row = 0; row < step.drawn.length; row++) {
      const run = step.drawn[row];
      if (!run || run.generation.isDone) continue;
      try {
        this.#handOver(run, tokens[row], step.arrivedAt);
      } catch (error) {
        run.generation.fail(failure(run.name, error)); // its policy, or its tokenizer: nobody else's concern
      }
    }
  }

  #handOver({ generation, isPrefill, rowsRead, firstPosition }: Run, token: number, now: number): void {
    const { numLayers, vocabSize } = this.#backend.model;
    if (!isPrefill) generation.count(rowsRead, numLayers * (firstPosition + 1));
    if (token < vocabSize) generation.accept(token, now);
    else generation.fail(new BackendError(noToken(token, generation, vocabSize)));
  }

  /**
   * Dense logits of some positions of a sequence whose earlier ones are cached: f32 [numRows, vocabSize] into `out`, from
   * the row of `first`. numRows: at most maxBatchRows.
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
      isPrefill: true,
      policy: full(),
    };
    this.#batch.check(run);
    this.#batch.fill([run]);
    this.#decoder.forward(this.#batch, this.#batch.groups);
    for (let row = 0; row < numRows; row += logitRows) {
      const count = Math.min(logitRows, numRows - row);
      // kernels take few rows another way round: a last row may come again, so that chunks change no bit
      const computed = Math.min(logitRows, Math.max(count, CHUNK_ROWS));
      for (let i = 0; i < computed; i++) this.#logitRows[i] = row + Math.min(i, count - 1);
      this.#decoder.computeLogits(this.#logitRows, computed);
      const values = await this.#backend.read(logits);
      out.set(values.subarray(0, count * vocabSize), (first + row) * vocabSize);
    }
  }
}

function prefillKind(runs: readonly (Run | undefined)[]): Step["prefill"] {
  const hasPrefill = runs.some((run) => run?.isPrefill);
  if (!hasPrefill) return "none";
  return runs.some((run) => run?.isPrefill === false) ? "beside" : "alone";
}

/** What ends a request whose own policy, tokenizer or place in the batch failed. */
function failure(what: string, thrown: unknown): RequestError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new RequestError(`${what} failed: ${message}`, { cause: thrown });
}

/** Why a request has no next token, and where to look. */
function noToken(token: number, { tokens, resolved }: ActiveRequest, vocabSize: number): string {
  const where = `decoding the token at position ${tokens.length}`;
  if (token !== NO_TOKEN)
    return (
      `${where}: the backend drew token ${token} of a vocabulary of ${vocabSize}; ` +
      "look for wrong kernels with `lessismore doctor`"
    );
  const { repetitionPenalty } = resolved.sampling;
  const penalty = repetitionPenalty === 1 ? "" : `, after the repetition penalty of ${repetitionPenalty},`;
  return (
    `${where}: the logits${penalty} hold NaN or infinity, so that no token can be drawn; look for such weights with ` +
    '`lessismore inspect`; where there are none a number has overflowed: try cacheDtype: "f32" on WebGPU, another ' +
    "backend, and `lessismore doctor`"
  );
}
