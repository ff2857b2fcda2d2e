/**
 * Decode steps of a batch without an engine: the ops of the model and a sample, over the weights and the cache that an engine has. What
 * requests get through that engine is compared with them.
 */
import {
  Attention,
  type AttentionModel,
  type AttentionPolicy,
  type Backend,
  BackendError,
  bindAttention,
  Decoder,
  type InFlightSample,
  type ModelWeights,
  type RopeWriter,
  type SamplingRow,
  StepBatchBuilder,
} from "../src/node/internal.ts";
import { attentionOf } from "./attention.ts";

/** Parts of an engine that steps need. */
export interface StepParts {
  readonly backend: Backend;
  readonly weights: ModelWeights;
  readonly attentionModel: AttentionModel;
  readonly ropes: readonly RopeWriter[];
  /** The checkpoint's own attention spec. */
  readonly attentionDefaults?: string | undefined;
}

export interface BareSteps {
  readonly sequences: number;
  /** Cached tokens of each sequence at the first step. */
  readonly length: number;
  readonly attention: string;
  readonly steps: number;
  /** Of the sample of each row; seeds differ. */
  readonly sampling: { readonly temperature: number; readonly topP: number };
}

/** Steps that are not timed. */
const SETTLING_STEPS = 4;

export class BareStepper {
  readonly #parts: StepParts;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #drawRows: Uint32Array;
  readonly #tokens: Uint32Array;
  #numPages = 0;

  constructor(parts: StepParts) {
    const { backend, weights, attentionModel, ropes } = parts;
    const { capacity, model } = backend;
    this.#parts = parts;
    this.#decoder = new Decoder(backend, weights, new Attention(backend, attentionModel));
    this.#batch = new StepBatchBuilder(backend, ropes);
    this.#drawRows = Uint32Array.from({ length: capacity.maxBatchSequences }, (_, row) => row);
    this.#tokens = new Uint32Array(capacity.maxSequenceLength).map((_, i) => (i * 7919) % model.vocabSize);
    this.#holdCache(backend);
  }

  /** Keeps the cache as large as it has ever been, whatever size an idle engine asks for: steps use its pages between requests. */
  #holdCache(backend: Backend): void {
    const resize = backend.resizeCache.bind(backend);
    backend.resizeCache = async (numPages) => {
      if (numPages <= this.#numPages) return true;
      const hasGrown = await resize(numPages);
      if (hasGrown) this.#numPages = numPages;
      return hasGrown;
    };
  }

  /** Pages of each sequence up to `length` tokens. The engine must be idle: they are pages of its own. */
  async #takePages(sequences: number, length: number): Promise<readonly (readonly number[])[]> {
    const { backend } = this.#parts;
    const each = Math.ceil(length / backend.capacity.pageSize);
    if (!(await backend.resizeCache(sequences * each)))
      throw new BackendError(
        `bare steps of ${sequences} sequences of ${length} tokens: there is no memory for their cache; give fewer sequences or a shorter context`,
      );
    return Array.from({ length: sequences }, (_, s) =>
      Array.from({ length: each }, (_, page) => s * each + page),
    );
  }

  /** Milliseconds of each step, from tokens to tokens. As an engine does, it records a step ahead if the backend runs ahead. */
  async time({ sequences, length, attention, steps, sampling }: BareSteps): Promise<readonly number[]> {
    const { backend, attentionModel, attentionDefaults } = this.#parts;
    const policy = bindAttention(await attentionOf(attention), attentionModel, attentionDefaults);
    const pages = await this.#takePages(sequences, length + SETTLING_STEPS + steps + 1);
    const times: number[] = [];
    let before: InFlightSample | undefined;
    for (let i = 0; i < SETTLING_STEPS + steps + 1; i++) {
      const sample = this.#step({ pages, length: length + i, policy, isFirst: i === 0, sampling, index: i });
      if (!backend.runsAhead) await sample.tokens();
      else await before?.tokens();
      before = sample;
      times.push(performance.now());
    }
    await before?.tokens();
    return times.slice(SETTLING_STEPS + 1).map((at, i) => at - (times[SETTLING_STEPS + i] as number));
  }

  #step(step: {
    readonly pages: readonly (readonly number[])[];
    readonly length: number;
    readonly policy: AttentionPolicy;
    readonly isFirst: boolean;
    readonly sampling: BareSteps["sampling"];
    readonly index: number;
  }): InFlightSample {
    const { pages, length, policy, isFirst, sampling, index } = step;
    const sequences = pages.length;
    const { backend } = this.#parts;
    // a token of the last sample stays where it is
    const tokens = isFirst ? this.#tokens : this.#tokens.subarray(0, length - 1);
    this.#batch.fill(
      Array.from({ length: sequences }, (_, s) => ({
        ...{ name: `bare step ${s}`, tokens, inFlightRow: isFirst ? undefined : s, pages: pages[s] ?? [] },
        ...{ firstPosition: length - 1, numRows: 1, isPrefill: false, policy },
        // what a policy keeps of pages is of another sequence at first
        validBounds: isFirst ? 0 : length - 1,
      })),
    );
    this.#decoder.forward(this.#batch, this.#batch.groups);
    this.#decoder.computeLogits(this.#drawRows, sequences);
    return backend.sample(
      this.#decoder.logits,
      Array.from({ length: sequences }, (_, row) => drawOf(row, index, sampling)),
    );
  }
}

function drawOf(row: number, sampleIndex: number, { temperature, topP }: BareSteps["sampling"]): SamplingRow {
  const params = { temperature, topP, topK: 0, minP: 0, repetitionPenalty: 1, seed: row + 1 };
  return { params, sampleIndex, seenTokens: [] };
}
