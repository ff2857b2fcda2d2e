/** Steps one sequence of a device model at any length, without an engine: for GPU time of single steps. */
import {
  Attention,
  type AttentionModel,
  type AttentionPolicy,
  attentionModelOf,
  createRope,
  Decoder,
  type InFlightSample,
  parseAttention,
  StepBatchBuilder,
  sampleOnDevice,
  type WebGpuBackend,
} from "../../src/node/internal.ts";
import { type DeviceModel, PAGE_SIZE } from "./device-model.ts";

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const DRAWS = [{ params: GREEDY, sampleIndex: 0, seenTokens: [] }];

export class DeviceStepper {
  readonly backend: WebGpuBackend;
  readonly model: AttentionModel;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #pages: readonly number[];
  readonly #prompt: Uint32Array;
  readonly #drawRow = Uint32Array.of(0);
  /** True if a sample exists that the next step continues from. */
  #hasDrawn = false;

  constructor({ backend, weights, config }: DeviceModel) {
    const { model, capacity } = backend;
    this.backend = backend;
    this.model = attentionModelOf(config, PAGE_SIZE);
    this.#decoder = new Decoder(backend, weights, new Attention(backend, this.model));
    this.#batch = new StepBatchBuilder(backend, config.ropes.map(createRope));
    this.#pages = pagesInOrder(capacity.maxPages);
    this.#prompt = new Uint32Array(capacity.maxSequenceLength).map((_, i) => (i * 7919) % model.vocabSize);
  }

  /** The policy of a spec, bound to the model. */
  policy(spec: string): AttentionPolicy {
    const given = parseAttention(spec);
    return given.forModel?.(this.model) ?? given;
  }

  /** Records and submits a decode step, embedding to drawn token, at which `length` tokens are cached. */
  step(length: number, policy: AttentionPolicy): InFlightSample {
    this.#decode(length, policy);
    return this.backend.sample(this.#decoder.logits, DRAWS);
  }

  /** Records the same step; its token stays on the device. */
  recordStep(length: number, policy: AttentionPolicy): void {
    this.#decode(length, policy);
    sampleOnDevice(this.backend, this.#decoder.logits, DRAWS);
  }

  /** Records the prefill of positions first .. first + count - 1. */
  prefill(first: number, count: number, policy: AttentionPolicy): void {
    this.#forward(this.#prompt, first, count, true, policy);
  }

  #decode(length: number, policy: AttentionPolicy): void {
    // the token at length - 1 is the last sample's, which stays on the device
    const tokens = this.#hasDrawn ? this.#prompt.subarray(0, length - 1) : this.#prompt;
    this.#forward(tokens, length - 1, 1, false, policy);
    this.#decoder.computeLogits(this.#drawRow, 1);
    this.#hasDrawn = true;
  }

  #forward(
    tokens: ArrayLike<number>,
    firstPosition: number,
    numRows: number,
    isPrefill: boolean,
    policy: AttentionPolicy,
  ): void {
    const run = { name: "bench", tokens, inFlightRow: 0, pages: this.#pages };
    this.#batch.fill([{ ...run, firstPosition, numRows, isPrefill, policy }]);
    this.#decoder.forward(this.#batch, this.#batch.groups);
  }
}

/** Pages as the engine hands them to a sequence that fills the cache. */
export function pagesInOrder(count: number): number[] {
  return Array.from({ length: count }, (_, page) => page);
}
