import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "./json-file.ts";

/** Keys of config.json that describe quantisation: transformers, compressed-tensors, MLX. */
const KEYS = ["quantization_config", "compression_config", "quantization"];

/** Names of methods as people write them, by `quant_method`. */
const METHODS: Readonly<Record<string, string>> = {
  gptq: "GPTQ",
  awq: "AWQ",
  bitsandbytes: "bitsandbytes",
  "compressed-tensors": "compressed-tensors",
  fp8: "FP8",
  fbgemm_fp8: "FP8 (FBGEMM)",
  mxfp4: "MXFP4",
  torchao: "torchao",
  eetq: "EETQ",
  hqq: "HQQ",
  aqlm: "AQLM",
  quanto: "Quanto",
  modelopt: "NVIDIA ModelOpt",
  "auto-round": "AutoRound",
  auto_round: "AutoRound",
};

/**
 * Refuses a quantised checkpoint by its config.json, before any weight file is opened.
 * @throws ConfigError naming the file, the key, the method and the alternative.
 */
export function refuseQuantized(config: JsonObject, fileName: string): void {
  for (const key of KEYS) {
    const value = config[key];
    if (value === undefined || value === null || value === false) continue;
    throw new ConfigError(
      `reading ${fileName}: ${key} is ${printValue(value)}: the checkpoint is quantised${methodOf(key, value)}, which is ` +
        `not read; expected weights in bf16, f16 or f32: take the checkpoint that it was made from, before quantisation${baseOf(config, fileName)}, ` +
        "and open it with dtype q8 or q4, or a GGUF file of the model (such as Q4_K_M or Q8_0)",
    );
  }
}

/** Endings of names of quantised checkpoints. */
const SUFFIX =
  /[-_.](gptq|awq|fp8|nvfp4|mxfp4|bnb|bitsandbytes|int[48]|w\d+a\d+|hqq|aqlm|eetq|quantized|\d-?bit|mlx)([-_.].*)?$/i;

/** Names the model before quantisation, as config.json says it, else as the name of its folder or repository does. */
function baseOf(config: JsonObject, fileName: string): string {
  for (const named of [config.base_model, config._name_or_path])
    if (typeof named === "string" && /^[\w-][\w.-]{0,95}\/[\w.-]{1,96}$/.test(named) && !SUFFIX.test(named))
      return ` (${named})`;
  const folder = fileName.replace(/[\\/][^\\/]*$/, "").replace(/[\\/]snapshots[\\/][^\\/]*$/, "");
  const name = (folder.split(/[\\/]/).at(-1) ?? "").replace(/@[^@]*$/, "").replace(/^models--.*--/, "");
  const base = name.replace(SUFFIX, "");
  return base !== name && base !== "" ? ` (by the name, ${base.slice(0, 96)})` : "";
}

function methodOf(key: string, value: unknown): string {
  if (!isObject(value)) return "";
  const { quant_method: method, bits } = value;
  const width = typeof bits === "number" ? ` in ${bits} bits` : bitsAndBytes(value);
  if (typeof method === "string" && method !== "")
    return ` by ${Object.hasOwn(METHODS, method) ? METHODS[method] : method.slice(0, 40)}${width}`;
  if (width !== "") return ` by ${value.load_in_4bit || value.load_in_8bit ? "bitsandbytes" : "MLX"}${width}`;
  return key === "quantization" ? " by MLX" : "";
}

function bitsAndBytes({ load_in_4bit: four, load_in_8bit: eight }: JsonObject): string {
  if (four === true) return " in 4 bits";
  return eight === true ? " in 8 bits" : "";
}

/** Suffixes of tensor names that only quantised checkpoints have, with the tool that writes them. */
const TENSORS: readonly (readonly [RegExp, string])[] = [
  [/\.qweight$|\.qzeros$|\.g_idx$/, "GPTQ or AWQ"],
  [/\.weight\.(absmax|quant_map|nested_absmax|quant_state\..*)$|\.SCB$/, "bitsandbytes"],
  [/\.weight_packed$|\.weight_shape$/, "compressed-tensors"],
  [/\.weight_scale(_inv|_2)?$|\.input_scale$/, "FP8 or compressed-tensors"],
  [/_(blocks|scales)$/, "MXFP4"],
  [/\.weight_scales$/, "EETQ"],
  [/\.(W_q|codes|codebooks|qzeros)$/, "HQQ or AQLM"],
  [/\.(scales|biases)$/, "MLX"],
];

/** Names the tool that quantised the tensors, by their names; undefined when no name matches. */
export function quantizerOf(names: Iterable<string>): string | undefined {
  for (const name of names) {
    const found = TENSORS.find(([pattern]) => pattern.test(name));
    if (found) return found[1];
  }
  return undefined;
}
