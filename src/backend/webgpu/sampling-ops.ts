import type { TensorRef } from "../../base/tensor-ref.ts";
import { checkAdjustments } from "../adjust-logits.ts";
import type { InFlightSample, SamplingRow } from "../backend.ts";
import { sampleUnit } from "../sample-token.ts";
import type { CommandLists } from "./command-lists.ts";
import type { GpuContext } from "./context.ts";
import {
  candidateSpace,
  reducePrelude,
  scanPrelude,
  subgroupConstants,
  wideThreads,
} from "./device-traits.ts";
import { LogitOps } from "./logit-ops.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";
import { SampleReads } from "./sample-reads.ts";

/** Maximum spans of a row of logits, searched side by side. */
const MAX_SPANS = 128;
/** sample-draw.wgsl: words of a row that is sampled at random. */
const RANDOM_ROW_WORDS = 6;
/** Largest 1 / temperature, near the largest f32: infinity times a difference of 0 is NaN. */
const MAX_SCALE = 3e38;
/** Largest random number, the last f32 below 1: a number rounded up to 1 would pass every token. */
const LAST_UNIT = 1 - 2 ** -24;

/** The sample of a dry run. */
const NO_SAMPLE: InFlightSample = { tokens: async () => new Uint32Array(0) };

/** Samples tokens on the device; only their ids are read back. */
export class SamplingOps {
  /** u32 [maxBatchSequences]: the tokens of the last sample. */
  readonly sampledTokens: NumberedBuffer;
  readonly #context: GpuContext;
  readonly #spans: NumberedBuffer;
  readonly #randomRows: NumberedBuffer;
  readonly #logitOps: LogitOps;
  readonly #reads: SampleReads;
  readonly #greedyLists: CommandLists;
  readonly #randomLists: CommandLists;
  /** Parameters of the rows under construction, as u32 and f32 views of the same words. */
  readonly #randomWords: Uint32Array<ArrayBuffer>;
  readonly #randomFloats: Float32Array;
  /** Submissions at the last record of a random sample: if there was none since, it is not submitted. */
  #randomAt = -1;
  /** Rows of the last sample. */
  sampledRows = 0;

  constructor(context: GpuContext) {
    const { buffers, recorder, capacity } = context;
    const rows = capacity.maxBatchSequences;
    this.#context = context;
    this.#greedyLists = recorder.newCommandLists();
    this.#randomLists = recorder.newCommandLists();
    this.#randomWords = new Uint32Array(rows * RANDOM_ROW_WORDS);
    this.#randomFloats = new Float32Array(this.#randomWords.buffer);
    this.sampledTokens = buffers.storage("sampled tokens", rows * 4);
    this.#reads = new SampleReads(recorder, buffers, this.sampledTokens);
    this.#spans = buffers.storage("argmax spans", rows * MAX_SPANS * 8);
    this.#randomRows = buffers.storage("rows sampled at random", rows * RANDOM_ROW_WORDS * 4);
    this.#logitOps = new LogitOps(context);
  }

  /** stepRows: rows of the step that the sample ends. */
  sample(logits: TensorRef, rows: readonly SamplingRow[], stepRows: number): InFlightSample {
    for (const row of rows) checkAdjustments(row, this.#context.model.vocabSize);
    if (this.#context.recorder.isDry) {
      this.record(logits, rows);
      return NO_SAMPLE;
    }
    this.#reads.check();
    this.record(logits, rows);
    return this.#reads.start(rows.length, stepRows);
  }

  /** Records a sample into `sampledTokens`. */
  record(logits: TensorRef, rows: readonly SamplingRow[]): void {
    if (!this.#context.recorder.isDry) this.sampledRows = rows.length;
    let numGreedy = 0;
    for (let i = 0; i < rows.length; i++) {
      if ((rows[i] as SamplingRow).params.temperature === 0) numGreedy++;
    }
    this.#logitOps.record(logits, rows);
    if (numGreedy > 0) this.#greedy(WebGpuTensor.of(logits), rows.length);
    if (numGreedy < rows.length) this.#sampleAtRandom(WebGpuTensor.of(logits), rows, rows.length - numGreedy);
  }

  #greedy(logits: WebGpuTensor, rows: number): void {
    const node = this.#greedyLists.at(logits.id).at(rows);
    if (!this.#context.recorder.replay(node)) this.#keepGreedy(node, logits, rows);
  }

  #keepGreedy(node: CommandLists, logits: WebGpuTensor, rows: number): void {
    const { recorder, model } = this.#context;
    const spans = Math.min(MAX_SPANS, Math.ceil(model.vocabSize / 256));
    const search = (isFinal: boolean, size: number) =>
      recorder.dispatch({
        category: "rest",
        kernel: recorder.kernel(["keys", "logit-keys", "argmax"], { FINAL: isFinal }),
        params: { size, row_size: spans },
        bindings: { logits: isFinal ? "unused" : logits, spans: this.#spans, sampled: this.sampledTokens },
        grid: [isFinal ? 1 : spans, rows],
      });
    recorder.keep(node, () => {
      search(false, model.vocabSize);
      search(true, spans);
    });
  }

  #sampleAtRandom(logits: WebGpuTensor, rows: readonly SamplingRow[], count: number): void {
    const [words, floats] = [this.#randomWords, this.#randomFloats];
    let at = 0;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as SamplingRow;
      const { params } = row;
      if (params.temperature === 0) continue;
      words[at] = i;
      words[at + 1] = params.topK;
      floats[at + 2] = params.topP;
      floats[at + 3] = params.minP;
      floats[at + 4] = Math.min(1 / params.temperature, MAX_SCALE);
      floats[at + 5] = Math.min(sampleUnit(row), LAST_UNIT);
      at += RANDOM_ROW_WORDS;
    }
    const { recorder } = this.#context;
    // the rows of the sample before must reach the device first; as a rule it has been submitted, and this step has not
    if (this.#randomAt === recorder.submissions) recorder.submit();
    this.#randomAt = recorder.submissions;
    recorder.writeUnread(this.#randomRows, words, at);
    const node = this.#randomLists.at(logits.id).at(count);
    if (!recorder.replay(node)) this.#keepRandom(node, logits, count);
  }

  #keepRandom(node: CommandLists, logits: WebGpuTensor, count: number): void {
    const { recorder, model, traits } = this.#context;
    const threads = wideThreads(traits);
    const preludes = [reducePrelude(traits, threads), scanPrelude(traits)] as const;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "rest",
        kernel: recorder.kernel([...preludes, "keys", "candidates", "logit-keys", "sample-draw"], {
          ...subgroupConstants(traits),
          SPACE: candidateSpace(traits, 1024),
          THREADS: threads,
          LANES: threads,
        }),
        params: { vocab: model.vocabSize },
        bindings: { draws: this.#randomRows, logits, sampled: this.sampledTokens },
        grid: [count],
      }),
    );
  }
}
