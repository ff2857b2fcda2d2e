/** Which rows of which tensors make up each weight of the decoder. */
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  FeedForwardWeights,
} from "../backend/backend.ts";
import { ModelFileError } from "../base/errors.ts";
import type { WeightRef } from "../base/tensor-ref.ts";
import type { ModelConfig } from "./config.ts";
import { partlyRotaryElement } from "./rope.ts";
import type { WeightFinder } from "./weight-finder.ts";
import type { RowOrder, WeightPlan } from "./weight-rows.ts";

/** Weights by their role in the decoder. */
export interface ModelWeights {
  readonly embedding: WeightRef; // [vocabSize, hiddenSize]
  readonly layers: readonly {
    readonly attentionInput: AttentionInputWeights;
    readonly attentionOutput: AttentionOutputWeights;
    readonly feedForward: FeedForwardWeights;
  }[];
  readonly norm: WeightRef;
  /** The embedding if the two are tied. */
  readonly output: WeightRef;
}

/** Names of the embedding and of the output matrix; undefined if the output is tied to the embedding. */
export interface EmbeddingNames {
  embedding: string;
  output: string | undefined;
}

const EMBEDDING = "model.embed_tokens.weight";
export const OUTPUT = "lm_head.weight";

/**
 * Ties embeddings as `transformers` 5.24 does (`tie_weights`): a single stored matrix serves as both; two stored matrices
 * that differ are both used.
 */
export function nameEmbeddings(finder: WeightFinder, config: ModelConfig): EmbeddingNames {
  if (!config.tieWordEmbeddings) return { embedding: EMBEDDING, output: OUTPUT };
  const hasOutput = finder.has(OUTPUT);
  if (hasOutput && !finder.has(EMBEDDING)) return { embedding: OUTPUT, output: undefined };
  return { embedding: EMBEDDING, output: hasOutput ? OUTPUT : undefined };
}

/** Hands every weight of the decoder to `place`, in order. @throws ModelFileError for tensors that do not fit the config */
export function describeWeights<T>(
  config: ModelConfig,
  names: Readonly<EmbeddingNames>,
  finder: WeightFinder,
  place: (plan: WeightPlan) => T,
) {
  const { hiddenSize, vocabSize } = config;
  const layerPlans = new LayerPlans(config, finder);
  const embedding = place({ ...finder.matrix(names.embedding, [vocabSize, hiddenSize]), use: "embedding" });
  const describeLayer = (layer: number) => {
    const { attentionInput, attentionOutput, feedForward } = layerPlans.of(layer);
    return {
      attentionInput: placeAll(attentionInput, place),
      attentionOutput: placeAll(attentionOutput, place),
      feedForward:
        feedForward.kind === "dense"
          ? { kind: feedForward.kind, ...placeAll(feedForward.weights, place) }
          : { kind: feedForward.kind, ...placeAll(feedForward.weights, place) },
    };
  };
  const layers: ReturnType<typeof describeLayer>[] = [];
  for (let layer = 0; layer < config.numLayers; layer++) layers.push(describeLayer(layer));
  const norm = place(layerPlans.norm("model.norm.weight", hiddenSize));
  const output = names.output
    ? place({ ...finder.matrix(names.output, [vocabSize, hiddenSize]), use: "embedding" })
    : embedding;
  return { embedding, layers, norm, output };
}

type Placed<Plans, T> = { readonly [Key in keyof Plans]: T };

function placeAll<Plans extends object, T>(plans: Plans, place: (plan: WeightPlan) => T): Placed<Plans, T> {
  const placed = Object.entries(plans).map(
    ([role, plan]: [string, WeightPlan]) => [role, place(plan)] as const,
  );
  return Object.fromEntries(placed) as Placed<Plans, T>;
}

/** Plans of the weights of layers. */
class LayerPlans {
  readonly #config: ModelConfig;
  readonly #finder: WeightFinder;

  constructor(config: ModelConfig, finder: WeightFinder) {
    this.#config = config;
    this.#finder = finder;
  }

  of(layer: number) {
    const { family, layers, hiddenSize } = this.#config;
    const at = `model.layers.${layer}`;
    const norm = (name: string) => this.norm(`${at}.${name}_layernorm.weight`, hiddenSize);
    const inputNorm = norm("input");
    const feedForwardNorm = norm(family.isGemma ? "pre_feedforward" : "post_attention");
    const hasExperts = layers[layer]?.feedForward === "experts";
    return {
      attentionInput: { norm: inputNorm, ...this.#attentionInput(`${at}.self_attn`) },
      attentionOutput: {
        ...this.#attentionOutput(`${at}.self_attn`),
        ...(family.isGemma && { outputNorm: norm("post_attention") }),
      },
      feedForward: hasExperts
        ? { kind: "experts" as const, weights: { norm: feedForwardNorm, ...this.#experts(`${at}.mlp`) } }
        : {
            kind: "dense" as const,
            weights: {
              norm: feedForwardNorm,
              ...this.#dense(`${at}.mlp`),
              ...(family.isGemma && { outputNorm: norm("post_feedforward") }),
            },
          },
    };
  }

  /** An RMS norm. Gemma's are stored without their 1. */
  norm(name: string, size: number): WeightPlan {
    return this.#finder.vector(name, size, { added: this.#config.family.isGemma ? 1 : 0 });
  }

  #attentionInput(at: string) {
    const { family, hasQkvBias, hiddenSize, headDim, numQueryHeads, numKvHeads } = this.#config;
    const finder = this.#finder;
    const [q, kv] = [numQueryHeads * headDim, numKvHeads * headDim];
    const order = this.#headOrder();
    const qkv = () => finder.matrix(`${at}.qkv_proj.weight`, [q + 2 * kv, hiddenSize]);
    const part = (name: string, firstRow: number, numRows: number, rowOrder?: RowOrder) =>
      family.isFused
        ? finder.rowsOf(qkv(), { firstRow, numRows, rowOrder })
        : finder.rowsOf(finder.matrix(`${at}.${name}_proj.weight`, [numRows, hiddenSize]), {
            firstRow: 0,
            numRows,
            rowOrder,
          });
    const bias = (name: string, size: number, rowOrder?: RowOrder) =>
      finder.vector(`${at}.${name}_proj.bias`, size, { rowOrder });
    return {
      q: part("q", 0, q, order),
      k: part("k", q, kv, order),
      v: part("v", q + kv, kv),
      ...(hasQkvBias && { qBias: bias("q", q, order), kBias: bias("k", kv, order), vBias: bias("v", kv) }),
      ...(family.hasQkNorm && {
        qNorm: this.norm(`${at}.q_norm.weight`, headDim),
        kNorm: this.norm(`${at}.k_norm.weight`, headDim),
      }),
    };
  }

  /** Order of the rows of q and k under which pairs of partly rotary heads lie as those of whole ones. */
  #headOrder(): RowOrder | undefined {
    const { ropes, headDim } = this.#config;
    const rotaryDim = ropes[0]?.rotaryDim;
    if (rotaryDim === undefined) return undefined;
    return (row) => row - (row % headDim) + partlyRotaryElement(headDim, rotaryDim, row % headDim);
  }

  #attentionOutput(at: string) {
    const { hasOutputBias, hiddenSize, headDim, numQueryHeads } = this.#config;
    return {
      o: this.#finder.matrix(`${at}.o_proj.weight`, [hiddenSize, numQueryHeads * headDim]),
      ...(hasOutputBias && { oBias: this.#finder.vector(`${at}.o_proj.bias`, hiddenSize) }),
    };
  }

  #dense(at: string) {
    const { family, hiddenSize, intermediateSize: numRows } = this.#config;
    const finder = this.#finder;
    const fused = () => finder.matrix(`${at}.gate_up_proj.weight`, [2 * numRows, hiddenSize]);
    const part = (name: string, firstRow: number) =>
      family.isFused
        ? finder.rowsOf(fused(), { firstRow, numRows })
        : finder.matrix(`${at}.${name}_proj.weight`, [numRows, hiddenSize]);
    return {
      gate: part("gate", 0),
      up: part("up", numRows),
      down: finder.matrix(`${at}.down_proj.weight`, [hiddenSize, numRows]),
    };
  }

  /**
   * Experts in one of three spellings: a tensor for each expert and projection; gate and up of all experts in one tensor
   * [experts, 2 × rows, cols]; a tensor of all experts for each projection.
   */
  #experts(at: string) {
    const { experts, hiddenSize } = this.#config;
    if (!experts) throw new ModelFileError(`${at}: the config has no sizes of experts`);
    const { numExperts, intermediateSize } = experts;
    const finder = this.#finder;
    const [up, down] = [
      [intermediateSize, hiddenSize],
      [hiddenSize, intermediateSize],
    ] as const;
    const fused = `${at}.experts.gate_up_proj`;
    const isFused = finder.has(fused);
    const part = (name: string, shape: readonly [number, number], half?: 0 | 1) => {
      const stacked = `${at}.experts.${name}_proj.weight`;
      if (isFused && half !== undefined) return finder.expertHalves(fused, [numExperts, ...shape], half);
      if (isFused) return finder.expertStack(`${at}.experts.${name}_proj`, [numExperts, ...shape]);
      if (finder.has(stacked)) return finder.expertStack(stacked, [numExperts, ...shape]);
      const one = (expert: number) => `${at}.experts.${expert}.${name}_proj.weight`;
      return finder.experts(one, [numExperts, ...shape]);
    };
    return {
      router: { ...finder.matrix(`${at}.gate.weight`, [numExperts, hiddenSize]), use: "router" as const },
      gate: part("gate", up, 0),
      up: part("up", up, 1),
      down: part("down", down),
    };
  }
}
