import type { ModelShape } from "../backend/backend.ts";
import { plainLayers } from "../backend/plain-shape.ts";
import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "../load/json-file.ts";
import { refuseQuantized } from "../load/quantization.ts";
import { DEFAULT_RMS_NORM_EPS, FAMILIES, type Family } from "./families.ts";
import { inverseFrequencies } from "./rope.ts";
import { parseRopeConfig, type RopeConfig, scaledContext } from "./rope-config.ts";

/** Sizes and choices of a model, from config.json. */
export interface ModelConfig extends ModelShape {
  readonly family: Family;
  readonly maxPositionEmbeddings: number;
  /** Positions that the model was made for: max_position_embeddings, or more with a scaling of RoPE. */
  readonly contextLength: number;
  /** Source of the context if it is not max_position_embeddings. */
  readonly contextNote: string | undefined;
  readonly tieWordEmbeddings: boolean;
  readonly hasQkvBias: boolean;
  readonly hasOutputBias: boolean;
  readonly rope: RopeConfig;
  readonly eosTokenIds: readonly number[];
}

/**
 * Reads config.json. Absent keys get the defaults of `transformers` 5.24, apart from the five sizes of the tensors: a config
 * without those is damaged. It checks only values that inference uses: those of a sliding window only in Qwen with the
 * window on (Llama has none, whatever its config says), none of training or of a cache.
 * @throws ConfigError naming the file, the key, the value and what is supported.
 */
export function parseModelConfig(json: unknown, fileName: string): ModelConfig {
  if (!isObject(json))
    throw new ConfigError(`reading ${fileName}: expected an object, got ${printValue(json)}`);
  const family = findFamily(json, fileName);
  const reader = new ConfigReader(json, fileName);
  refuseQuantized(json, fileName);
  refuseUnsupported(json, family, reader);
  const hiddenSize = reader.size("hidden_size");
  const numQueryHeads = reader.size("num_attention_heads");
  const heads = readHeads(reader, family, hiddenSize, numQueryHeads);
  const maxPositionEmbeddings = reader.size("max_position_embeddings", family.defaults.maxPositionEmbeddings);
  const numLayers = reader.size("num_hidden_layers", undefined, MAX_LAYERS);
  const rope = parseRopeConfig(json, heads.headDim, maxPositionEmbeddings, fileName);
  if (!inverseFrequencies(rope).every(Number.isFinite))
    throw new ConfigError(
      `reading ${fileName}: RoPE of ${printValue(rope)} gives frequencies that are not finite; check rope_theta and the ` +
        "factors beside it",
    );
  const context = scaledContext(rope, maxPositionEmbeddings);
  refuseSlidingWindow(json, family, reader, numLayers, context.contextLength);
  const hasAttentionBias = family.qkvBias === "attention_bias" && reader.flag("attention_bias", false);
  return {
    family,
    numLayers,
    hiddenSize,
    intermediateSize: reader.size("intermediate_size"),
    activation: "silu",
    attentionScale: heads.headDim ** -0.5,
    embeddingScale: 1,
    numRopes: 1,
    layers: plainLayers(numLayers),
    numQueryHeads,
    ...heads,
    vocabSize: reader.size("vocab_size"),
    rmsNormEps: reader.number(
      "rms_norm_eps",
      DEFAULT_RMS_NORM_EPS,
      (eps) => eps >= 0,
      "a number of at least 0",
    ),
    maxPositionEmbeddings,
    tieWordEmbeddings: reader.flag("tie_word_embeddings", false),
    hasQkvBias: family.qkvBias === "always" || hasAttentionBias,
    hasOutputBias: family.hasOutputBias && hasAttentionBias,
    ...context,
    rope,
    eosTokenIds: reader.tokenIds("eos_token_id", family.defaults.eosTokenIds),
  };
}

/** Limits above all models in use: products of sizes stay exact, lists of layers short. */
const MAX_LAYERS = 4096;
const MAX_HEAD_DIM = 65536;
const MAX_SIZE = 2 ** 31 - 1;

/** Reads the values of one config and checks each. */
class ConfigReader {
  readonly #json: JsonObject;
  readonly #fileName: string;

  constructor(json: JsonObject, fileName: string) {
    this.#json = json;
    this.#fileName = fileName;
  }

  fail(key: string, expected: string): ConfigError {
    const value = this.#json[key];
    const got = value === undefined ? "is missing" : `is ${printValue(value)}`;
    return new ConfigError(`reading ${this.#fileName}: ${key} ${got}; expected ${expected}`);
  }

  number(key: string, otherwise: number | undefined, isValid: (value: number) => boolean, expected: string) {
    const value = this.#json[key] ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value) || !isValid(value))
      throw this.fail(key, expected);
    return value;
  }

  size(key: string, otherwise?: number, most = MAX_SIZE): number {
    return this.number(
      key,
      otherwise,
      (value) => Number.isSafeInteger(value) && value > 0 && value <= most,
      `a whole number above 0, at most ${most}`,
    );
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.#json[key] ?? otherwise;
    if (typeof value !== "boolean") throw this.fail(key, "true or false");
    return value;
  }

  /** A token id, a list of ids, or null. As in `transformers`, a number that is no id ends no output. */
  tokenIds(key: string, otherwise: readonly number[]): readonly number[] {
    const value = this.#json[key];
    if (value === undefined) return otherwise;
    if (value === null) return [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    const isNumber = (id: unknown): id is number => typeof id === "number";
    if (!ids.every(isNumber)) throw this.fail(key, "a token id or a list of token ids");
    return ids.filter((id) => Number.isSafeInteger(id) && id >= 0);
  }
}

function findFamily(json: JsonObject, fileName: string): Family {
  const { model_type: modelType, architectures } = json;
  const architecture: unknown = Array.isArray(architectures) ? architectures[0] : undefined;
  const isOf = ({ architecture: name }: Family) =>
    (architecture ?? name) === name || architecture === name.replace("ForCausalLM", "Model"); // Saved without a head.
  const family = FAMILIES.find((one) => isOf(one) && (modelType ?? one.modelType) === one.modelType);
  if (family && (architecture !== undefined || modelType !== undefined)) return family;
  throw new ConfigError(
    `reading ${fileName}: architectures ${printValue(architectures)} with model_type ${printValue(modelType)} is not ` +
      `supported; supported are ${FAMILIES.map((one) => `${one.architecture} (${one.modelType})`).join(", ")}`,
  );
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

function refuseUnsupported(json: JsonObject, family: Family, reader: ConfigReader): void {
  const { hidden_act: activation = "silu" } = json;
  if (activation !== "silu" && activation !== "swish") throw reader.fail("hidden_act", '"silu"');
  if (family.hasMlpBiasKey && reader.flag("mlp_bias", false))
    throw reader.fail("mlp_bias", "false; biases in the MLP are not supported");
}

/** Refuses a sliding window shorter than the context: it would change the model. */
function refuseSlidingWindow(
  json: JsonObject,
  family: Family,
  reader: ConfigReader,
  numLayers: number,
  contextLength: number,
): void {
  if (!family.hasSlidingWindow) return;
  const types = json.layer_types ?? undefined;
  const isOn = reader.flag("use_sliding_window", false);
  // Defaults: 28 full layers and a window of 4096. A null switches the window off.
  const window = () => (json.sliding_window === null ? contextLength : reader.size("sliding_window", 4096));
  if (types === undefined) {
    if (!isOn || window() >= contextLength) return;
    const firstSliding = reader.number("max_window_layers", 28, Number.isFinite, "a number of layers");
    if (firstSliding < numLayers)
      throw reader.fail(
        "use_sliding_window",
        `false, or a sliding_window of ${contextLength} or more (here ${window()})`,
      );
    return;
  }
  if (!Array.isArray(types) || types.length !== numLayers)
    throw reader.fail("layer_types", `a list of ${numLayers} layers`);
  const isKnown = (type: unknown) =>
    type === "full_attention" || (type === "sliding_attention" && isOn && window() >= contextLength);
  if (!types.every(isKnown)) throw reader.fail("layer_types", '"full_attention" in every layer');
}
