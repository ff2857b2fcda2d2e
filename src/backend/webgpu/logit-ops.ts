import type { TensorRef } from "../../base/tensor-ref.ts";
import { maskWords } from "../adjust-logits.ts";
import type { SamplingRow } from "../backend.ts";
import type { GpuContext } from "./context.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Bytes of a buffer before its first growth. */
const FIRST_BYTES = 4096;

/** A buffer that grows to twice what it must hold. Most engines never sample with a bias or a mask: it begins with the first write. */
class GrowingBuffer {
  readonly #context: GpuContext;
  readonly #label: string;
  #buffer: NumberedBuffer | undefined;

  constructor(context: GpuContext, label: string) {
    this.#context = context;
    this.#label = label;
  }

  /** Returns the buffer with `words` at its start. */
  write(words: Uint32Array): NumberedBuffer {
    const { buffers, recorder } = this.#context;
    let buffer = this.#buffer;
    if (!buffer || words.byteLength > buffer.buffer.size) {
      recorder.submit();
      if (buffer) buffers.destroy(buffer);
      buffer = buffers.storage(this.#label, Math.max(FIRST_BYTES, 2 * words.byteLength));
      this.#buffer = buffer;
    }
    recorder.write(buffer, 0, words, words.length);
    return buffer;
  }
}

/** Changes the logits of rows before they are sampled: repetition penalty, then bias, then mask (`adjust-logits.ts` defines both). */
export class LogitOps {
  readonly #context: GpuContext;
  readonly #penalties: GrowingBuffer;
  readonly #seen: GrowingBuffer;
  readonly #biased: GrowingBuffer;
  readonly #biasIds: GrowingBuffer;
  readonly #biasValues: GrowingBuffer;
  readonly #masked: GrowingBuffer;
  readonly #masks: GrowingBuffer;

  constructor(context: GpuContext) {
    const buffer = (label: string) => new GrowingBuffer(context, label);
    this.#context = context;
    this.#penalties = buffer("penalties");
    this.#seen = buffer("seen tokens");
    this.#biased = buffer("biased rows");
    this.#biasIds = buffer("biased tokens");
    this.#biasValues = buffer("biases");
    this.#masked = buffer("masked rows");
    this.#masks = buffer("masks");
  }

  /** Records the changes of rows that have any. */
  record(logits: TensorRef, rows: readonly SamplingRow[]): void {
    let isPenalised = false;
    let isBiased = false;
    let isMasked = false;
    for (let i = 0; i < rows.length; i++) {
      const { params, bias, mask } = rows[i] as SamplingRow;
      if (params.repetitionPenalty !== 1) isPenalised = true;
      if (bias) isBiased = true;
      if (mask) isMasked = true;
    }
    if (isPenalised) this.#penalise(logits, rows);
    if (isBiased) this.#bias(logits, rows);
    if (isMasked) this.#mask(logits, rows);
  }

  #penalise(logits: TensorRef, rows: readonly SamplingRow[]): void {
    const { recorder, model } = this.#context;
    const tokens: number[] = [];
    const penalised = rows.flatMap((row, i) => {
      if (row.params.repetitionPenalty === 1) return [];
      const first = tokens.length;
      for (const id of new Set(Array.from(row.seenTokens))) tokens.push(id);
      return [{ i, first, count: tokens.length - first, penalty: row.params.repetitionPenalty }];
    });
    const most = penalised.reduce((max, { count }) => Math.max(max, count), 0);
    if (most === 0) return;
    const words = new Uint32Array(penalised.length * 5);
    const floats = new Float32Array(words.buffer);
    penalised.forEach(({ i, first, count, penalty }, n) => {
      words.set([i, model.vocabSize, first, count], n * 5);
      floats[n * 5 + 4] = penalty;
    });
    recorder.dispatch({
      category: "rest",
      kernel: recorder.kernel(["penalise"], {}),
      bindings: {
        rows: this.#penalties.write(words),
        seen: this.#seen.write(Uint32Array.from(tokens)),
        logits: WebGpuTensor.of(logits),
      },
      grid: [Math.ceil(most / 256), penalised.length],
    });
  }

  #bias(logits: TensorRef, rows: readonly SamplingRow[]): void {
    const { recorder, model } = this.#context;
    const ids: number[] = [];
    const values: number[] = [];
    const words: number[] = [];
    let most = 0;
    for (const [i, { bias }] of rows.entries()) {
      if (!bias) continue;
      words.push(i, model.vocabSize, ids.length, bias.ids.length);
      for (const id of bias.ids) ids.push(id);
      for (const value of bias.values) values.push(value);
      most = Math.max(most, bias.ids.length);
    }
    if (most === 0) return;
    recorder.dispatch({
      category: "rest",
      kernel: recorder.kernel(["bias-logits"], {}),
      bindings: {
        rows: this.#biased.write(Uint32Array.from(words)),
        ids: this.#biasIds.write(Uint32Array.from(ids)),
        values: this.#biasValues.write(new Uint32Array(Float32Array.from(values).buffer)),
        logits: WebGpuTensor.of(logits),
      },
      grid: [Math.ceil(most / 256), words.length / 4],
    });
  }

  #mask(logits: TensorRef, rows: readonly SamplingRow[]): void {
    const { recorder, model } = this.#context;
    const size = maskWords(model.vocabSize);
    const masked = rows.flatMap(({ mask }, i) => (mask ? [{ i, mask }] : []));
    const masks = new Uint32Array(masked.length * size);
    for (const [n, { mask }] of masked.entries()) masks.set(mask, n * size);
    recorder.dispatch({
      category: "rest",
      kernel: recorder.kernel(["mask-logits"], {}),
      params: { vocab: model.vocabSize, words: size },
      bindings: {
        masked: this.#masked.write(Uint32Array.from(masked, ({ i }) => i)),
        masks: this.#masks.write(masks),
        logits: WebGpuTensor.of(logits),
      },
      grid: [Math.ceil(model.vocabSize / 256), masked.length],
    });
  }
}
