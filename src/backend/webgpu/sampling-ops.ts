import type { TensorRef } from "../../base/tensor-ref.ts";
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
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";
import { SampleReads } from "./sample-reads.ts";

/** Parts of a row of logits that are searched side by side. */
const PARTS = 128;
/** Near the largest f32: one over a tiny temperature would be infinite, and no difference times it a number. */
const MOST_SCALE = 3e38;
/** The largest f32 below 1: rounded up to 1, a draw would pass every token. */
const LAST_UNIT = 1 - 2 ** -24;

/** Of a dry run. */
const NO_SAMPLE: InFlightSample = { tokens: async () => new Uint32Array(0) };

/** Draws tokens on the device; only their ids come back. */
export class SamplingOps {
  /** u32 [maxBatchSequences]: the tokens of the last draw. */
  readonly drawn: NumberedBuffer;
  readonly #context: GpuContext;
  readonly #parts: NumberedBuffer;
  readonly #draws: NumberedBuffer;
  readonly #penalties: NumberedBuffer;
  readonly #reads: SampleReads;
  readonly #greedyLists: CommandLists;
  /** Rows of the last draw. */
  sampledRows = 0;
  #seen: NumberedBuffer;

  constructor(context: GpuContext) {
    const { buffers, recorder, capacity } = context;
    const rows = capacity.maxBatchSequences;
    this.#context = context;
    this.#greedyLists = recorder.newCommandLists();
    this.drawn = buffers.storage("drawn tokens", rows * 4);
    this.#reads = new SampleReads(recorder, buffers, this.drawn);
    this.#parts = buffers.storage("argmax parts", rows * PARTS * 8);
    this.#draws = buffers.storage("draws", rows * 24);
    this.#penalties = buffers.storage("penalties", rows * 20);
    this.#seen = buffers.storage("seen tokens", 4096);
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample {
    if (this.#context.recorder.isDry) {
      this.record(logits, rows);
      return NO_SAMPLE;
    }
    this.#reads.check();
    this.record(logits, rows);
    return this.#reads.start(rows.length);
  }

  /** Records the draw into `drawn`. */
  record(logits: TensorRef, rows: readonly SamplingRow[]): void {
    if (!this.#context.recorder.isDry) this.sampledRows = rows.length;
    if (rows.some(({ params }) => params.repetitionPenalty !== 1)) this.#penalise(logits, rows);
    if (rows.some(({ params }) => params.temperature === 0)) this.#greedy(logits, rows.length);
    if (rows.some(({ params }) => params.temperature !== 0)) this.#draw(logits, rows);
  }

  #greedy(logits: TensorRef, rows: number): void {
    const { recorder, model } = this.#context;
    const parts = Math.min(PARTS, Math.ceil(model.vocabSize / 256));
    const tensor = WebGpuTensor.of(logits);
    const place = this.#greedyLists.at(tensor.id).at(rows);
    if (recorder.replay(place)) return;
    recorder.keep(place, () => {
      const pass = (isFinal: boolean, size: number) =>
        recorder.dispatch({
          category: "rest",
          kernel: recorder.kernel(["logit-keys", "argmax"], { FINAL: isFinal }),
          params: { size, row_size: parts },
          bindings: { logits: isFinal ? "unused" : tensor, parts: this.#parts, drawn: this.drawn },
          grid: [isFinal ? 1 : parts, rows],
        });
      pass(false, model.vocabSize);
      pass(true, parts);
    });
  }

  #draw(logits: TensorRef, rows: readonly SamplingRow[]): void {
    const { recorder, model, traits } = this.#context;
    const random = rows.flatMap((row, i) => (row.params.temperature === 0 ? [] : [{ row, i }]));
    const words = new Uint32Array(random.length * 6);
    const floats = new Float32Array(words.buffer);
    random.forEach(({ row, i }, n) => {
      const { params } = row;
      words[n * 6] = i;
      words[n * 6 + 1] = params.topK;
      floats[n * 6 + 2] = params.topP;
      floats[n * 6 + 3] = params.minP;
      floats[n * 6 + 4] = Math.min(1 / params.temperature, MOST_SCALE);
      floats[n * 6 + 5] = Math.min(sampleUnit(row), LAST_UNIT);
    });
    recorder.write(this.#draws, 0, words, words.length);
    const threads = wideThreads(traits);
    const kernel = recorder.kernel(
      [
        reducePrelude(traits, threads),
        scanPrelude(traits),
        "keys",
        "candidates",
        "logit-keys",
        "sample-draw",
      ],
      {
        ...subgroupConstants(traits),
        SPACE: candidateSpace(traits, 1024),
        THREADS: threads,
        LANES: threads,
      },
    );
    recorder.dispatch({
      category: "rest",
      kernel,
      params: { vocab: model.vocabSize },
      bindings: { draws: this.#draws, logits: WebGpuTensor.of(logits), drawn: this.drawn },
      grid: [random.length],
    });
  }

  #penalise(logits: TensorRef, rows: readonly SamplingRow[]): void {
    const { recorder, buffers, model } = this.#context;
    const tokens: number[] = [];
    const penalised = rows.flatMap((row, i) => {
      if (row.params.repetitionPenalty === 1) return [];
      const first = tokens.length;
      for (const id of new Set(Array.from(row.seenTokens))) tokens.push(id);
      return [{ i, first, count: tokens.length - first, penalty: row.params.repetitionPenalty }];
    });
    const most = penalised.reduce((max, { count }) => Math.max(max, count), 0);
    if (most === 0) return;
    if (tokens.length * 4 > this.#seen.buffer.size) {
      recorder.submit();
      buffers.destroy(this.#seen);
      this.#seen = buffers.storage("seen tokens", tokens.length * 8);
    }
    const words = new Uint32Array(penalised.length * 5);
    const floats = new Float32Array(words.buffer);
    penalised.forEach(({ i, first, count, penalty }, n) => {
      words.set([i, model.vocabSize, first, count], n * 5);
      floats[n * 5 + 4] = penalty;
    });
    recorder.write(this.#penalties, 0, words, words.length);
    recorder.write(this.#seen, 0, Uint32Array.from(tokens), tokens.length);
    recorder.dispatch({
      category: "rest",
      kernel: recorder.kernel(["penalise"], {}),
      bindings: { rows: this.#penalties, seen: this.#seen, logits: WebGpuTensor.of(logits) },
      grid: [Math.ceil(most / 256), penalised.length],
    });
  }
}
