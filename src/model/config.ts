import type { Activation, ExpertShape, LayerShape, ModelShape } from "../backend/backend.ts";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { Checkpoint } from "../load/checkpoint-contents.ts";
import type { JsonObject } from "../load/json-file.ts";
import { refuseQuantized } from "../load/quantization.ts";
import { ConfigReader } from "./config-reader.ts";
import { FAMILIES, type Family } from "./families.ts";
import type { LayerPlan } from "./layer-plans.ts";
import { inverseFrequencies } from "./rope.ts";
import { parseRopeConfig, type RopeConfig, scaledContext } from "./rope-config.ts";

/** One layer. A window that no context exceeds is left out. */
export interface LayerConfig extends LayerShape {
  readonly feedForward: LayerPlan["feedForward"];
}

/** Sizes and choices of a model, from config.json. */
export interface ModelConfig extends ModelShape {
  readonly family: Family;
  readonly maxPositionEmbeddings: number;
  /** Positions that the model was made for: max_position_embeddings, or more with a scaling of RoPE. */
  readonly contextLength: number;
  /** Source of the context if it is not max_position_embeddings. */
  readonly contextNote: string | undefined;
  /** Names the value that says the context, for messages: of config.json, or of a file's metadata. */
  readonly contextKey: string;
  readonly tieWordEmbeddings: boolean;
  readonly hasQkvBias: boolean;
  readonly hasOutputBias: boolean;
  /** [numRopes] */
  readonly ropes: readonly RopeConfig[];
  readonly layers: readonly LayerConfig[];
  readonly eosTokenIds: readonly number[];
}

/**
 * Reads the config of a checkpoint. One that is made of a file's metadata is part of the weights' file.
 * @throws ConfigError as `parseModelConfig`; of metadata a ModelFileError, which names the file's own key too
 */
export function readModelConfig(
  checkpoint: Pick<Checkpoint, "config" | "configName" | "metadataKey">,
): ModelConfig {
  const { config, configName, metadataKey } = checkpoint;
  try {
    const read = parseModelConfig(config, configName);
    const contextKey = metadataKey?.("max_position_embeddings");
    return contextKey === undefined ? read : { ...read, contextKey: `its ${contextKey}` };
  } catch (cause) {
    if (!metadataKey || !(cause instanceof ConfigError)) throw cause;
    const said = cause.message.slice(cause.message.indexOf(configName) + configName.length);
    const [, key = ""] = /^: (?:\w+\.)*(\w+)/.exec(said) ?? [];
    const own = metadataKey(key);
    const naming = own === undefined ? "" : ` (${key} is ${own} in the file)`;
    throw new ModelFileError(`${cause.message}${naming}; take another file of the model`, { cause });
  }
}

/**
 * Reads config.json. Absent keys get the defaults of `transformers` 5.24, apart from the five sizes of the tensors: a config
 * without those is damaged (Gemma 3's text configs leave out some). It checks only values that inference uses: none of a window
 * that is switched off, of training or of a cache.
 * @throws ConfigError naming the file, the key, the value and what is supported.
 */
export function parseModelConfig(json: unknown, fileName: string): ModelConfig {
  if (!isObject(json))
    throw new ConfigError(`reading ${fileName}: expected an object, got ${printValue(json)}`);
  const { family, values } = findFamily(json, fileName);
  const reader = new ConfigReader({ ...family.defaults.sizes, ...present(values) }, fileName);
  refuseQuantized(json, fileName);
  refuseUnsupported(family, reader);
  const hiddenSize = reader.size("hidden_size");
  const numQueryHeads = reader.size("num_attention_heads");
  const heads = readHeads(reader, family, hiddenSize, numQueryHeads);
  const maxPositionEmbeddings = reader.size("max_position_embeddings", family.defaults.maxPositionEmbeddings);
  const numLayers = reader.size("num_hidden_layers", undefined, MAX_LAYERS);
  const plans = family.layers(reader, numLayers);
  const { ropes, indices } = readRopes(reader, family, plans, { ...heads, maxPositionEmbeddings });
  // Gemma's max_position_embeddings is of its scaled RoPE already.
  const context = family.isGemma
    ? { contextLength: maxPositionEmbeddings, contextNote: undefined }
    : scaledContext(ropes[0] as RopeConfig, maxPositionEmbeddings);
  const layers = plans.map(({ window, feedForward }, layer) => ({
    ...(indices[layer] as (typeof indices)[number]),
    ...(window !== undefined && window < context.contextLength && { window }),
    feedForward,
  }));
  const hasAttentionBias = family.qkvBias === "attention_bias" && reader.flag("attention_bias", false);
  return {
    family,
    numLayers,
    hiddenSize,
    intermediateSize: reader.size("intermediate_size"),
    numQueryHeads,
    ...heads,
    vocabSize: reader.size("vocab_size"),
    rmsNormEps: reader.number(
      "rms_norm_eps",
      family.defaults.rmsNormEps,
      (eps) => eps >= 0,
      "a number of at least 0",
    ),
    maxPositionEmbeddings,
    contextKey: "max_position_embeddings of its config.json",
    tieWordEmbeddings: reader.flag("tie_word_embeddings", family.defaults.tiesEmbeddings),
    hasQkvBias: family.qkvBias === "always" || hasAttentionBias,
    hasOutputBias: family.hasOutputBias && hasAttentionBias,
    activation: readActivation(reader, family),
    attentionScale: family.isGemma
      ? reader.size("query_pre_attn_scalar", 256) ** -0.5
      : heads.headDim ** -0.5,
    embeddingScale: family.isGemma ? embeddingScale(hiddenSize, values) : 1,
    ...context,
    ropes,
    numRopes: ropes.length,
    layers,
    ...(layers.some(({ feedForward }) => feedForward === "experts") && { experts: readExperts(reader) }),
    eosTokenIds: reader.tokenIds("eos_token_id", family.defaults.eosTokenIds),
  };
}

/** Limits above all models in use: lists of layers and of experts stay short. */
const MAX_LAYERS = 4096;
const MAX_HEAD_DIM = 65536;
const MAX_EXPERTS = 65536;

/** The family of a config, and the values of its text model: those under `text_config`, if the family is in a wrapper. */
function findFamily(json: JsonObject, fileName: string): { family: Family; values: JsonObject } {
  const { text_config: text } = json;
  const wrapped = isObject(text) ? FAMILIES.filter(({ wrapper }) => wrapper && isNamed(json, wrapper)) : [];
  if (isObject(text) && wrapped.length > 0) {
    const named = {
      model_type: wrapped[0]?.wrapper?.modelType === "gemma3" ? "gemma3_text" : "mistral",
      ...text,
    };
    const family = wrapped.find((one) => isNamed({ ...named, architectures: undefined }, one));
    // What a wrapper says of both holds for the text too.
    const { eos_token_id, tie_word_embeddings, dtype, torch_dtype } = json;
    const shared = present({ eos_token_id, tie_word_embeddings, dtype, torch_dtype });
    if (family) return { family, values: { ...text, ...shared } };
  }
  const family = FAMILIES.find((one) => isNamed(json, one));
  if (family) return { family, values: json };
  const { model_type: modelType, architectures } = json;
  throw new ConfigError(
    `reading ${fileName}: architectures ${printValue(architectures)} with model_type ${printValue(modelType)} is not ` +
      `supported; supported are ${FAMILIES.map((one) => `${one.architecture} (${one.modelType})`).join(", ")}`,
  );
}

/** True if a config has the names of a family or of a wrapper, and at least one of both. */
function isNamed(json: JsonObject, names: Pick<Family, "modelType" | "architecture">): boolean {
  const { model_type: modelType, architectures } = json;
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  if (architecture === undefined && (modelType ?? undefined) === undefined) return false;
  const isArchitecture =
    (architecture ?? names.architecture) === names.architecture ||
    architecture === names.architecture.replace("ForCausalLM", "Model"); // Saved without a head.
  return isArchitecture && (modelType ?? names.modelType) === names.modelType;
}

/** The values that are not absent; null is a value. */
function present(json: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}

function readHeads(reader: ConfigReader, family: Family, hiddenSize: number, numQueryHeads: number) {
  const numKvHeads = reader.size("num_key_value_heads", numQueryHeads);
  if (numQueryHeads % numKvHeads !== 0)
    throw reader.fail(
      "num_key_value_heads",
      `a divisor of num_attention_heads, which is ${numQueryHeads} (here ${numKvHeads})`,
    );
  const quotient = hiddenSize / numQueryHeads;
  const headDim = reader.size("head_dim", family.defaults.headDim ?? quotient, MAX_HEAD_DIM);
  if (headDim % 2 !== 0)
    throw reader.fail("head_dim", `an even size, because RoPE turns pairs (here ${headDim})`);
  return { numKvHeads, headDim };
}

function refuseUnsupported(family: Family, reader: ConfigReader): void {
  if (family.hasMlpBiasKey && reader.flag("mlp_bias", false))
    throw reader.fail("mlp_bias", "false; biases in the MLP are not supported");
  for (const key of family.refusedKeys)
    if ((reader.json[key] ?? false) !== false) throw reader.fail(key, "null, or no such key");
}

function readActivation(reader: ConfigReader, family: Family): Activation {
  const { activationKey, defaults } = family;
  switch (reader.json[activationKey] ?? defaults.activation) {
    case "silu":
    case "swish":
      return "silu";
    case "gelu_pytorch_tanh":
      return "gelu_tanh";
    default:
      throw reader.fail(activationKey, '"silu" or "gelu_pytorch_tanh"');
  }
}

/** The config's RoPEs, and which of them each layer takes. */
function readRopes(
  { json, fileName }: ConfigReader,
  family: Family,
  plans: readonly LayerPlan[],
  { headDim, maxPositionEmbeddings }: { readonly headDim: number; readonly maxPositionEmbeddings: number },
) {
  const variant = family.isPartlyRotary
    ? "phi3"
    : family.modelType === "ministral3"
      ? "ministral3"
      : undefined;
  const kinds = [...new Set(plans.map(({ rope }) => rope))].sort(byReach);
  const { rope: fallback, ropeTheta } = family.defaults;
  const ropes: RopeConfig[] = kinds.map((kind) => {
    const theta = kind === "sliding_attention" ? undefined : { theta: ropeTheta };
    return parseRopeConfig(json, headDim, maxPositionEmbeddings, {
      fileName,
      kind,
      variant,
      fallback,
      ...theta,
    });
  });
  for (const rope of ropes)
    if (!inverseFrequencies(rope).every(Number.isFinite))
      throw new ConfigError(
        `reading ${fileName}: RoPE of ${printValue(rope)} gives frequencies that are not finite; check rope_theta and ` +
          "the factors beside it",
      );
  const [first] = ropes;
  if (ropes.length === 1 && first?.queryScale) {
    const { queryScale, ...keys } = first;
    return { ropes: [keys, first], indices: plans.map(() => ({ rope: 0, queryRope: 1 })) };
  }
  return { ropes, indices: plans.map(({ rope }) => ({ rope: kinds.indexOf(rope) })) };
}

/** Puts the RoPE first that the context depends on. */
function byReach(a: LayerPlan["rope"], b: LayerPlan["rope"]): number {
  const order: readonly LayerPlan["rope"][] = ["all", "full_attention", "sliding_attention", "none"];
  return order.indexOf(a) - order.indexOf(b);
}

function readExperts(reader: ConfigReader): ExpertShape {
  const numExperts = reader.size(
    reader.json.num_experts === undefined ? "num_local_experts" : "num_experts",
    128,
    MAX_EXPERTS,
  );
  return {
    numExperts,
    topExperts: reader.number(
      "num_experts_per_tok",
      8,
      (count) => Number.isSafeInteger(count) && count > 0 && count <= numExperts,
      `a whole number of experts, at most the ${numExperts} of num_experts`,
    ),
    intermediateSize: reader.size("moe_intermediate_size", 768),
    isNormalised: reader.flag("norm_topk_prob", false),
  };
}

/**
 * The square root of the hidden size, rounded to the dtype of the checkpoint, as `transformers` and the training of the
 * models do; of f32 for a config without one.
 */
function embeddingScale(hiddenSize: number, { dtype, torch_dtype: oldName }: JsonObject): number {
  const scale = Math.sqrt(hiddenSize);
  const name = dtype ?? oldName;
  const bits = name === "bfloat16" ? 8 : name === "float16" ? 11 : 24;
  const ulp = 2 ** (Math.floor(Math.log2(scale)) + 1 - bits);
  const down = Math.floor(scale / ulp);
  const rest = scale / ulp - down;
  return (rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down) * ulp;
}
