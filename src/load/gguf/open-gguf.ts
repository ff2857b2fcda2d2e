/**
 * Opens a GGUF file as a checkpoint in Hugging Face's spelling, so that nothing after the loader knows the format: the
 * metadata become config.json and generation_config.json, tensors get their names, shapes and rows there.
 */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { decodeWeights, isFloatFormat } from "../../base/weight-format.ts";
import type { ByteSource, FileFolder } from "../byte-source.ts";
import type { Checkpoint } from "../checkpoint-contents.ts";
import { parseGenerationConfig } from "../generation-config.ts";
import type { JsonObject } from "../json-file.ts";
import { tokenizerMetadata } from "../tokenizer-source.ts";
import { architectureOf, configOf, metadataKeyOf } from "./architectures.ts";
import type { GgufTensor } from "./header.ts";
import type { GgufMetadata } from "./metadata.ts";
import { MetadataKeys } from "./metadata-keys.ts";
import type { RopeFactors } from "./rope-parameters.ts";
import { openParts } from "./split-files.ts";
import { tensorEntries } from "./tensor-entries.ts";
import { createGgufTokenizer } from "./tokenizer.ts";

/** Opens a file, with all its parts. @throws ModelFileError */
export async function openGguf(folder: FileFolder, path: string): Promise<Checkpoint> {
  const sources: ByteSource[] = [];
  const close = async () => {
    for (const source of sources.splice(0)) await source.close?.();
  };
  const name = `${folder.name}/${path}`;
  try {
    const { metadata, tensors, paths } = await openParts(folder, path, sources);
    const keys = new MetadataKeys(metadata, name);
    const architecture = architectureOf(keys);
    const config = configOf(architecture, keys, tensors, await readRopeFactors(tensors, name));
    const { tokenizer, chatTemplate, eosTokenIds, notes } = createGgufTokenizer(metadata, name);
    const values = generationValues(metadata, eosTokenIds);
    return {
      name,
      config,
      configName: `${name} (metadata, as config.json has them)`,
      metadataKey: (key) => metadataKeyOf(key, keys.architecture),
      generationConfig: parseGenerationConfig(values, `${name} (metadata)`),
      tensors: tensorEntries(tensors.values(), architecture, config, name),
      files: paths,
      promised: new Map(),
      notes,
      tokenizer,
      tokenizerSource: tokenizer
        ? { form: "gguf", metadata: tokenizerMetadata(metadata), fileName: name }
        : { form: "none", name },
      chatTemplate,
      close,
    };
  } catch (error) {
    await close().catch(() => {}); // report the first error
    throw error;
  }
}

/** Limit on the factors of RoPE: half of the largest head. */
const MAX_FACTORS = 1 << 15;

const FACTORS = {
  all: "rope_freqs.weight",
  short: "rope_factors_short.weight",
  long: "rope_factors_long.weight",
} as const;

async function readRopeFactors(
  tensors: ReadonlyMap<string, GgufTensor>,
  fileName: string,
): Promise<RopeFactors> {
  const read = async (tensorName: string) => {
    const tensor = tensors.get(tensorName);
    if (!tensor) return undefined;
    const { type, shape, source, offset, sizeBytes } = tensor;
    const [count = 0] = shape;
    if (!type.format || !isFloatFormat(type.format) || shape.length !== 1 || count > MAX_FACTORS)
      throw new ModelFileError(
        `reading ${fileName}: tensor ${tensorName} has type ${type.name} and shape [${shape}]; expected a list of at most ` +
          `${MAX_FACTORS} floats: take another file of the model`,
      );
    const factors = new Float32Array(count);
    decodeWeights(await source.read(offset, sizeBytes), type.format, factors);
    const odd = factors.find((factor) => !(factor > 0 && factor < Number.POSITIVE_INFINITY));
    if (odd !== undefined)
      throw new ModelFileError(
        `reading ${fileName}: tensor ${tensorName} has the factor ${printValue(odd)}; expected numbers above 0: the file is ` +
          "damaged, download it again",
      );
    return [...factors];
  };
  const all = await read(FACTORS.all);
  const short = await read(FACTORS.short);
  const long = await read(FACTORS.long);
  return { ...(all && { all }), ...(short && { short }), ...(long && { long }) };
}

/** Keys of generation_config.json by those of GGUF, where a converter wrote them. */
const GENERATION_KEYS: readonly (readonly [string, string])[] = [
  ["general.sampling.temp", "temperature"],
  ["general.sampling.top_k", "top_k"],
  ["general.sampling.top_p", "top_p"],
  ["general.sampling.min_p", "min_p"],
  ["general.sampling.penalty_repeat", "repetition_penalty"],
];

/** eosTokenIds: empty for a file without a vocabulary, which may still name the token. */
function generationValues(metadata: GgufMetadata, eosTokenIds: readonly number[]): JsonObject {
  const values = GENERATION_KEYS.flatMap(([key, name]) => {
    const value = metadata.get(key);
    return value === undefined ? [] : [[name, value] as const];
  });
  const eos = eosTokenIds.length > 0 ? eosTokenIds : metadata.get("tokenizer.ggml.eos_token_id");
  return {
    ...Object.fromEntries(values),
    ...(values.length > 0 && { do_sample: metadata.get("general.sampling.temp") !== 0 }),
    ...(eos !== undefined && { eos_token_id: eos }),
  };
}
