/** The work that kernels are timed at on a GPU: steps of a small model with a full cache, all of it zeros. */
import { Attention } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import { lessIsMore } from "../attention/policies/less-is-more.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import { StepBatchBuilder } from "../engine/step-batch.ts";
import { type ModelConfig, parseModelConfig } from "../model/config.ts";
import { Decoder } from "../model/decoder.ts";
import { attentionModelOf } from "../model/model-size.ts";
import { createRope } from "../model/rope.ts";
import type { ModelWeights } from "../model/weights.ts";
import type { TunedWork } from "./backends.ts";

const PAGE_SIZE = 16;
const SEQUENCES = 8;

interface TunedModel {
  readonly config: ModelConfig;
  /** Cached tokens of each sequence. */
  readonly context: number;
  readonly budget: number;
  /** Rows of a prefill chunk. */
  readonly rows: number;
}

/** A third of a 1.7B model's width: its layers outgrow the caches of a GPU, and its memory is 0.6 GB. Of a CPU that emulates one: a toy. */
export function tunedModel(isSoftware: boolean): TunedModel {
  const [width, inner, heads, layers] = isSoftware ? [64, 128, 2, 1] : [2048, 8192, 16, 4];
  const config = parseModelConfig(
    {
      ...{ model_type: "llama", num_hidden_layers: layers, hidden_size: width, intermediate_size: inner },
      ...{ num_attention_heads: heads, num_key_value_heads: heads / 2, head_dim: isSoftware ? 32 : 128 },
      ...{ vocab_size: isSoftware ? 64 : 4096, max_position_embeddings: 1 << 16, rope_theta: 10000 },
      ...{ rms_norm_eps: 1e-6, tie_word_embeddings: true },
    },
    "the model that kernels are timed with",
  );
  return isSoftware
    ? { config, context: 64, budget: 16, rows: 16 }
    : { config, context: 8192, budget: 1024, rows: 1024 };
}

export function tunedCapacity({ context, rows }: TunedModel) {
  return {
    ...{ pageSize: PAGE_SIZE, maxPages: (SEQUENCES * context) / PAGE_SIZE, maxSequenceLength: context },
    ...{ maxBatchRows: rows, maxBatchSequences: SEQUENCES },
  };
}

/** A backend that says when the device has done what was recorded. */
export type FinishingBackend = Backend & { finish(): Promise<void> };

/** Steps of the model on a backend that was opened for it. */
export class TunedSteps {
  readonly backend: FinishingBackend;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #model: TunedModel;
  readonly #tokens: Uint32Array;
  readonly #rows = Uint32Array.from({ length: SEQUENCES }, (_, row) => row);
  readonly #policies: Readonly<Record<"full" | "sparse", AttentionPolicy>>;

  constructor(backend: FinishingBackend, model: TunedModel) {
    const { config, budget, context } = model;
    const attentionModel = attentionModelOf(config, PAGE_SIZE);
    const sparse = lessIsMore({ tokenBudget: budget, selectionLayers: [0] });
    this.backend = backend;
    this.#model = model;
    this.#decoder = new Decoder(
      backend,
      placeWeights(config, backend),
      new Attention(backend, attentionModel),
    );
    this.#batch = new StepBatchBuilder(backend, config.ropes.map(createRope));
    this.#tokens = new Uint32Array(context);
    this.#policies = { full: full(), sparse: sparse.forModel?.(attentionModel) ?? sparse };
  }

  /** Records one step of a kind. */
  record(work: TunedWork): void {
    const { context, rows } = this.#model;
    const isPrefill = work === "prefill";
    const numRows = isPrefill ? rows : 1;
    const policy = this.#policies[work === "sparse step" ? "sparse" : "full"];
    const sequences = work === "batch" ? SEQUENCES : 1;
    this.#batch.fill(
      Array.from({ length: sequences }, (_, s) => ({
        ...{ name: `timed ${s}`, tokens: this.#tokens, pages: pagesOf(s, context) },
        ...{ firstPosition: context - numRows, numRows, isPrefill, policy },
      })),
    );
    this.#decoder.forward(this.#batch, this.#batch.groups);
    this.#decoder.computeLogits(this.#rows, sequences);
  }
}

function pagesOf(sequence: number, context: number): number[] {
  const pages = context / PAGE_SIZE;
  return Array.from({ length: pages }, (_, page) => sequence * pages + page);
}

/** Weights that nobody writes: a GPU makes them zeros, and takes as long for them as for others. */
function placeWeights(config: ModelConfig, backend: Backend): ModelWeights {
  const { numLayers, hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = config;
  const matrix = (name: string, rows: number, cols: number) =>
    backend.createWeight({ kind: "matrix", name, format: "f16", rows, cols });
  const norm = () => backend.createWeight({ kind: "vector", name: "norm", format: "f32", size: hiddenSize });
  const [queryWidth, kvWidth] = [numQueryHeads * headDim, numKvHeads * headDim];
  const embedding = matrix("embedding", vocabSize, hiddenSize);
  const layers = Array.from({ length: numLayers }, () => ({
    attentionInput: {
      norm: norm(),
      q: matrix("q", queryWidth, hiddenSize),
      k: matrix("k", kvWidth, hiddenSize),
      v: matrix("v", kvWidth, hiddenSize),
    },
    attentionOutput: { o: matrix("o", hiddenSize, queryWidth) },
    feedForward: {
      kind: "dense" as const,
      norm: norm(),
      gate: matrix("gate", intermediateSize, hiddenSize),
      up: matrix("up", intermediateSize, hiddenSize),
      down: matrix("down", hiddenSize, intermediateSize),
    },
  }));
  return { embedding, layers, norm: norm(), output: embedding };
}
