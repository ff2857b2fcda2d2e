/** Steps sequences of a device model at any lengths, without an engine: for GPU time of single steps. */
import {
  Attention,
  type AttentionModel,
  type AttentionPolicy,
  attentionModelOf,
  createRope,
  Decoder,
  type InFlightSample,
  parseAttention,
  type SequenceRun,
  StepBatchBuilder,
  sampleOnDevice,
  type WebGpuBackend,
} from "../../src/node/internal.ts";
import { type DeviceModel, PAGE_SIZE } from "./device-model.ts";
import type { SteppedSequence } from "./step-work.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const DRAW = { params: GREEDY, sampleIndex: 0, seenTokens: [] };

export class DeviceStepper {
  readonly backend: WebGpuBackend;
  readonly model: AttentionModel;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  /** Pages of each sequence. */
  readonly #pages: readonly (readonly number[])[];
  readonly #prompt: Uint32Array;
  readonly #drawRows: Uint32Array;
  /** Rows of the sample that the next step continues from. */
  #drawn = 0;

  constructor({ backend, weights, config }: DeviceModel) {
    const { model, capacity } = backend;
    this.backend = backend;
    this.model = attentionModelOf(config, PAGE_SIZE);
    this.#decoder = new Decoder(backend, weights, new Attention(backend, this.model));
    this.#batch = new StepBatchBuilder(backend, config.ropes.map(createRope));
    const each = Math.ceil(capacity.maxSequenceLength / PAGE_SIZE);
    const sequences = Math.floor(capacity.maxPages / each);
    this.#pages = Array.from({ length: sequences }, (_, s) => pagesInOrder(each, s * each));
    this.#drawRows = Uint32Array.from({ length: sequences }, (_, row) => row);
    this.#prompt = new Uint32Array(capacity.maxSequenceLength).map((_, i) => (i * 7919) % model.vocabSize);
  }

  /** The policy of a spec, bound to the model. */
  policy(spec: string): AttentionPolicy {
    const given = parseAttention(spec);
    return given.forModel?.(this.model) ?? given;
  }

  /** Records and submits a decode step of a sequence, embedding to drawn token, at which `length` tokens are cached. */
  step(length: number, policy: AttentionPolicy): InFlightSample {
    this.#decode([{ length, policy }]);
    return this.backend.sample(this.#decoder.logits, [DRAW]);
  }

  /** Begins a run of steps: the last sample of the backend may be another's, and the next step takes tokens of the host. */
  begin(): void {
    this.#drawn = 0;
  }

  /** Records a decode step of these sequences; their tokens stay on the device. */
  recordStep(sequences: readonly SteppedSequence[]): void {
    this.#decode(sequences);
    sampleOnDevice(
      this.backend,
      this.#decoder.logits,
      sequences.map(() => DRAW),
    );
  }

  /** Records the prefill of positions first .. first + count - 1. */
  prefill(first: number, count: number, policy: AttentionPolicy): void {
    this.#forward([{ tokens: this.#prompt, firstPosition: first, numRows: count, isPrefill: true, policy }]);
  }

  #decode(sequences: readonly SteppedSequence[]): void {
    this.#forward(
      sequences.map(({ length, policy }, row) => {
        const isDrawn = row < this.#drawn;
        // a token of the last sample stays on the device
        const tokens = isDrawn ? this.#prompt.subarray(0, length - 1) : this.#prompt;
        const run = { tokens, firstPosition: length - 1, numRows: 1, isPrefill: false, policy };
        return isDrawn ? { ...run, inFlightRow: row } : run;
      }),
    );
    this.#decoder.computeLogits(this.#drawRows, sequences.length);
    this.#drawn = sequences.length;
  }

  #forward(runs: readonly Omit<SequenceRun, "name" | "pages">[]): void {
    this.#batch.fill(runs.map((run, s) => ({ ...run, name: `bench ${s}`, pages: this.#pages[s] ?? [] })));
    this.#decoder.forward(this.#batch, this.#batch.groups);
  }
}

/** Pages as the engine hands them to a sequence that takes them at once. */
export function pagesInOrder(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, page) => first + page);
}
