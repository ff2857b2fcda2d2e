/** Facts of single layers, as each family's config names them. */
import type { ConfigReader } from "./config-reader.ts";

/** A RoPE of the config: the only one, none, or that of a kind of layers in `rope_parameters`. */
export type RopeKind = "all" | "none" | "full_attention" | "sliding_attention";

/** Facts of one layer that may differ from those of its neighbours. */
export interface LayerPlan {
  /** Positions that a row sees, its own included; undefined: all. */
  readonly window: number | undefined;
  readonly rope: RopeKind;
  readonly feedForward: "dense" | "experts";
}

/** Reads the facts of all layers. @throws ConfigError */
export type PlanLayers = (reader: ConfigReader, numLayers: number) => readonly LayerPlan[];

type LayerType = "full_attention" | "sliding_attention";

const PLAIN: LayerPlan = { window: undefined, rope: "all", feedForward: "dense" };

const forEachLayer = <T>(numLayers: number, make: (layer: number) => T): T[] =>
  Array.from({ length: numLayers }, (_, layer) => make(layer));

/** Llama: every layer attends to everything, whatever the config says of windows. */
export const plainLayers: PlanLayers = (_, numLayers) => forEachLayer(numLayers, () => PLAIN);

/** Mistral, Phi-3: `sliding_window`, if it is not null, is the window of every layer. */
export const oneWindow =
  (otherwise: number | null): PlanLayers =>
  (reader, numLayers) => {
    const window = reader.sizeOrNull("sliding_window", otherwise);
    return forEachLayer(numLayers, () => ({ ...PLAIN, window }));
  };

/** Qwen2 and Qwen3: `use_sliding_window` gives the layers from `max_window_layers` on a window, or those of `layer_types`. */
export const qwenLayers: PlanLayers = (reader, numLayers) => {
  const window = switchedWindow(reader, 4096);
  const types = layerTypes(reader, numLayers, window !== undefined);
  if (window === undefined) return plainLayers(reader, numLayers);
  if (types) return withWindows(types, window);
  const first = reader.number("max_window_layers", 28, () => true, "a number of layers");
  return forEachLayer(numLayers, (layer) => ({ ...PLAIN, window: layer >= first ? window : undefined }));
};

/**
 * Qwen3-MoE: experts in every `decoder_sparse_step`th layer that `mlp_only_layers` does not name. A window, if switched on,
 * is that of every layer.
 */
export const qwenMoeLayers: PlanLayers = (reader, numLayers) => {
  const window = switchedWindow(reader, 4096);
  const step = reader.size("decoder_sparse_step", 1);
  const dense = denseLayers(reader);
  return forEachLayer(numLayers, (layer) => ({
    ...PLAIN,
    window,
    feedForward: (layer + 1) % step === 0 && !dense.includes(layer) ? "experts" : "dense",
  }));
};

/** Ministral: `layer_types`; without them every layer has the window, if there is one. */
export const ministralLayers: PlanLayers = (reader, numLayers) => {
  const window = reader.sizeOrNull("sliding_window", 4096);
  const types = layerTypes(reader, numLayers, window !== undefined);
  return types ? withWindows(types, window) : forEachLayer(numLayers, () => ({ ...PLAIN, window }));
};

/**
 * SmolLM3: layers whose `no_rope_layers` is 0 have no RoPE; by default every `no_rope_layer_interval`th. With
 * `use_sliding_window` those are also the ones with a window, unless `layer_types` says otherwise.
 */
export const smolLayers: PlanLayers = (reader, numLayers) => {
  const interval = reader.size("no_rope_layer_interval", 4);
  const flags =
    reader.perLayer("no_rope_layers", numLayers, isZeroOrOne, "0 (no RoPE) or 1 each") ??
    forEachLayer(numLayers, (layer) => ((layer + 1) % interval === 0 ? 0 : 1));
  const window = switchedWindow(reader, null);
  const types = layerTypes(reader, numLayers, window !== undefined);
  return flags.map((flag, layer) => {
    const slides = types ? types[layer] === "sliding_attention" : flag === 0;
    return { ...PLAIN, window: slides ? window : undefined, rope: flag === 0 ? "none" : "all" };
  });
};

/** Gemma 3: `layer_types`, by default every `sliding_window_pattern`th global; local layers have a window and a RoPE of their own. */
export const gemmaLayers: PlanLayers = (reader, numLayers) => {
  const window = reader.sizeOrNull("sliding_window", 4096);
  const pattern = reader.size("sliding_window_pattern", 6);
  const types =
    layerTypes(reader, numLayers, window !== undefined) ??
    forEachLayer(
      numLayers,
      (layer): LayerType => ((layer + 1) % pattern ? "sliding_attention" : "full_attention"),
    );
  if (window === undefined && types.includes("sliding_attention"))
    throw reader.fail("sliding_window", "a whole number above 0, since layers are local");
  return types.map((type) => ({
    ...PLAIN,
    window: type === "sliding_attention" ? window : undefined,
    rope: type,
  }));
};

function withWindows(types: readonly LayerType[], window: number | undefined): LayerPlan[] {
  return types.map((type) => ({ ...PLAIN, window: type === "sliding_attention" ? window : undefined }));
}

/** The window if `use_sliding_window` is true and `sliding_window` not null. */
function switchedWindow(reader: ConfigReader, otherwise: number | null): number | undefined {
  return reader.flag("use_sliding_window", false)
    ? reader.sizeOrNull("sliding_window", otherwise)
    : undefined;
}

/** `layer_types`; undefined if absent. @throws ConfigError for another kind, or for a sliding layer without a window */
function layerTypes(
  reader: ConfigReader,
  numLayers: number,
  hasWindow: boolean,
): readonly LayerType[] | undefined {
  const isType = (value: unknown): value is LayerType =>
    value === "full_attention" || (value === "sliding_attention" && hasWindow);
  const sliding = hasWindow ? ' or "sliding_attention"' : ", since no sliding window is set";
  return reader.perLayer("layer_types", numLayers, isType, `"full_attention"${sliding} each`);
}

function isZeroOrOne(value: unknown): value is 0 | 1 {
  return value === 0 || value === 1;
}

/** Indices of `mlp_only_layers`. */
function denseLayers(reader: ConfigReader): readonly number[] {
  const value = reader.json.mlp_only_layers ?? [];
  const isIndex = (one: unknown): one is number => Number.isSafeInteger(one);
  if (!Array.isArray(value) || !value.every(isIndex))
    throw reader.fail("mlp_only_layers", "a list of layers");
  return value;
}
