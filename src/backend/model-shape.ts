/** Sizes of the decoder that a backend needs. */
export interface ModelShape {
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  /** Even. */
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  /** Of the feed-forward's gate; `gelu_tanh` is GELU by its tanh formula. */
  readonly activation: Activation;
  /** Factor of attention's logits, q · k. */
  readonly attentionScale: number;
  /** Factor of embedded tokens. */
  readonly embeddingScale: number;
  /** RoPE tables of a step. */
  readonly numRopes: number;
  /** [numLayers] */
  readonly layers: readonly LayerShape[];
  /** Absent: no layer has experts. */
  readonly experts?: ExpertShape;
}

export type Activation = "silu" | "gelu_tanh";

/** One layer's own choices. */
export interface LayerShape {
  /** Its table among the step's RoPE tables. */
  readonly rope: number;
  /** The table of its queries, if not that of its keys. */
  readonly queryRope?: number;
  /** A row at position p sees positions p - window + 1 to p. Absent: all up to p. */
  readonly window?: number;
}

/** Sizes of feed-forwards of experts. */
export interface ExpertShape {
  readonly numExperts: number;
  /** Experts that compute each row. */
  readonly topExperts: number;
  readonly intermediateSize: number;
  /** True if the weights of a row's experts are scaled to a sum of 1. */
  readonly isNormalised: boolean;
}
