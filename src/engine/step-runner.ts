import { attendedRows } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import { type Backend, type Draw, NO_TOKEN, type SamplingRow } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import type { RunningGeneration } from "./generation.ts";
import type { ScheduledRun } from "./scheduler.ts";
import { type RopeWriter, type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** One request's part in a step. */
type Run = SequenceRun & { readonly generation: RunningGeneration };

/** A recorded step: what it draws, for whom. */
export interface Step {
  /** Requests that get a token, in the order of the draw's rows. */
  readonly drawn: readonly Run[];
  readonly draw: Draw;
  /** The next step may be recorded before this one's tokens are read. */
  readonly canStayUnread: boolean;
}

/** Records steps, and hands what they drew to the requests. */
export class StepRunner {
  readonly #backend: Backend;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #logitRows: Uint32Array;

  constructor(backend: Backend, decoder: Decoder, rope: RopeWriter) {
    this.#backend = backend;
    this.#decoder = decoder;
    this.#batch = new StepBatchBuilder(backend.shape, rope);
    this.#logitRows = new Uint32Array(decoder.logitRows);
  }

  /** Records one step of the scheduled requests and the draw of every one whose cache is complete after it. */
  run(running: readonly RunningGeneration[], scheduled: readonly ScheduledRun[]): Step {
    const now = performance.now();
    const runs = scheduled.flatMap(({ index, numRows, isPrefill }): Run[] => {
      const generation = running[index];
      if (!generation) return [];
      generation.start(now);
      const { tokens, unreadRow, pages, cachedTokens, plan } = generation;
      const { policy } = plan;
      const firstPosition = cachedTokens;
      return [{ tokens, unreadRow, pages, firstPosition, numRows, isPrefill, policy, generation }];
    });
    const ordered = this.#batch.fill(runs) as readonly Run[];
    this.#decoder.forward(this.#batch, this.#batch.groups);
    return this.#draw(ordered);
  }

  #draw(runs: readonly Run[]): Step {
    const rows: SamplingRow[] = [];
    const drawn: Run[] = [];
    runs.forEach((run, sequence) => {
      const { generation, numRows } = run;
      generation.cachedTokens += numRows;
      if (generation.cachedTokens < generation.promptTokens + generation.numDrawn) return;
      this.#logitRows[rows.length] = (this.#batch.firstRows[sequence] ?? 0) + numRows - 1;
      const { sampling: params } = generation.plan;
      rows.push({ params, draw: generation.numDrawn, seenTokens: generation.tokens });
      drawn.push(run);
    });
    if (rows.length > 0) this.#decoder.computeLogits(this.#logitRows, rows.length);
    // a chunk that draws nothing has a draw, too: what is waited for, so that a long prompt is not queued all at once
    const draw = this.#backend.sample(this.#decoder.logits, rows);
    drawn.forEach(({ generation }, row) => {
      generation.expect(row);
    });
    // The penalty looks at every token so far, so its requests hold up those they share a batch with: simpler than two
    // kinds of requests in one step, and rare.
    const isPlain = rows.some(({ params }) => params.repetitionPenalty !== 1);
    return { drawn, draw, canStayUnread: this.#backend.runsAhead && !isPlain };
  }

  /**
   * Waits for the tokens of a step and hands them over. What a step decoded for a request that has ended meanwhile is
   * dropped: its pages may be another's by now, as the device works in order.
   */
  async postprocess({ drawn, draw }: Step): Promise<void> {
    const tokens = await draw.tokens();
    const now = performance.now();
    const { numLayers, vocabSize } = this.#backend.shape;
    drawn.forEach(({ generation, isPrefill, policy, firstPosition }, row) => {
      if (generation.isDone) return;
      if (!isPrefill) {
        const length = firstPosition + 1;
        generation.count(attendedRows(policy, numLayers, length), numLayers * length);
      }
      const token = tokens[row] ?? NO_TOKEN;
      if (token < vocabSize) generation.accept(token, now);
      else generation.fail(new BackendError(noToken(token, generation.tokens.length, vocabSize)));
    });
  }

  /** Dense logits of every position of a sequence: f32 [tokens.length, vocabSize]. */
  async denseLogits(tokens: readonly number[], pages: readonly number[]): Promise<Float32Array> {
    const { vocabSize, maxBatchRows } = this.#backend.shape;
    const { logits, logitRows } = this.#decoder;
    const out = new Float32Array(tokens.length * vocabSize);
    const policy = full();
    for (let first = 0; first < tokens.length; first += maxBatchRows) {
      const numRows = Math.min(maxBatchRows, tokens.length - first);
      this.#batch.fill([{ tokens, pages, firstPosition: first, numRows, isPrefill: true, policy }]);
      this.#decoder.forward(this.#batch, this.#batch.groups);
      for (let row = 0; row < numRows; row += logitRows) {
        const count = Math.min(logitRows, numRows - row);
        for (let i = 0; i < count; i++) this.#logitRows[i] = row + i;
        this.#decoder.computeLogits(this.#logitRows, count);
        const values = await this.#backend.read(logits);
        out.set(values.subarray(0, count * vocabSize), (first + row) * vocabSize);
      }
    }
    return out;
  }
}

/** What is wrong, of the token drawn after `position` tokens, and where to look. */
function noToken(token: number, position: number, vocabSize: number): string {
  const where = `decoding the token at position ${position}`;
  if (token !== NO_TOKEN)
    return (
      `${where}: the backend drew token ${token} of a vocabulary of ${vocabSize}; ` +
      "look for wrong kernels with `lessismore doctor`"
    );
  return (
    `${where}: the logits hold NaN or infinity, so that no token can be drawn; look for such weights with ` +
    '`lessismore inspect`; where there are none a number has overflowed: try cacheDtype: "f32" on WebGPU, another ' +
    "backend, and `lessismore doctor`"
  );
}
