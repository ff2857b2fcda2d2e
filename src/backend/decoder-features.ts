import { BackendError } from "../base/errors.ts";
import type { WeightSpec } from "../base/tensor-ref.ts";
import type { Backend, BackendName, CacheDtype, ModelShape } from "./backend.ts";

/** What a model may need beyond the decoder that every backend has. */
export const DECODER_FEATURES = [
  "GELU",
  "attention scale",
  "embedding scale",
  "several RoPE tables",
  "a RoPE table of queries",
  "sliding windows",
  "experts",
  "q8 cache",
] as const;

export type DecoderFeature = (typeof DECODER_FEATURES)[number];

/** Features that a model and its cache need. */
function featuresOf(model: ModelShape, cacheDtype: CacheDtype): readonly DecoderFeature[] {
  const needed: readonly (readonly [DecoderFeature, boolean])[] = [
    ["GELU", model.activation === "gelu_tanh"],
    ["attention scale", model.attentionScale !== model.headDim ** -0.5],
    ["embedding scale", model.embeddingScale !== 1],
    ["several RoPE tables", model.numRopes > 1],
    ["a RoPE table of queries", model.layers.some(({ queryRope }) => queryRope !== undefined)],
    ["sliding windows", model.layers.some(({ window }) => window !== undefined)],
    ["experts", model.experts !== undefined],
    ["q8 cache", cacheDtype === "q8"],
  ];
  return needed.flatMap(([feature, isNeeded]) => (isNeeded ? [feature] : []));
}

/** @throws BackendError for a model that needs what the backend lacks, which would compute another model */
export function checkFeatures(
  { name, has }: { readonly name: BackendName; readonly has: readonly DecoderFeature[] },
  model: ModelShape,
  cacheDtype: CacheDtype,
): void {
  const lacking = featuresOf(model, cacheDtype).filter((feature) => !has.includes(feature));
  if (lacking.length > 0)
    throw new BackendError(
      `backend ${name}: the model needs ${lacking.join(", ")}, which this backend does not have; take another backend`,
    );
}

/** @throws BackendError for a format that the caller should have converted */
export function checkFormat(
  name: BackendName,
  backend: Pick<Backend, "weightFormats">,
  spec: WeightSpec,
): void {
  if (backend.weightFormats.has(spec.format)) return;
  throw new BackendError(
    `backend ${name}: weight ${spec.name} is in ${spec.format}; expected one of ${[...backend.weightFormats].join(", ")}`,
  );
}
