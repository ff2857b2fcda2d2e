import { ModelFileError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { openChatTemplate } from "./chat-template.ts";
import type { Checkpoint, FindCheckpoint } from "./checkpoint-contents.ts";
import { type GenerationConfig, parseGenerationConfig } from "./generation-config.ts";
import { type JsonObject, readJsonObject } from "./json-file.ts";
import { missingFiles } from "./missing-files.ts";
import { refuseQuantized } from "./quantization.ts";
import { MAX_TENSORS, readSafetensors } from "./safetensors.ts";
import type { TensorEntry } from "./tensor-entry.ts";
import { type TokenizerSource, tokenizerOf } from "./tokenizer-source.ts";

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";

/** Limit on weight files, above every checkpoint in use. Each file stays open until the weights are loaded. */
const MAX_FILES = 1000;

/** A folder with config.json, and weights as safetensors. */
export const findHuggingFace: FindCheckpoint = async (folder) => {
  const config = await readJsonObject(folder, "config.json");
  return config && (() => openHuggingFace(folder, config));
};

/** @throws ModelFileError, ConfigError on a quantised checkpoint */
async function openHuggingFace(folder: FileFolder, config: JsonObject): Promise<Checkpoint> {
  const configName = `${folder.name}/config.json`;
  refuseQuantized(config, configName);
  const generationConfig = await readGenerationConfig(folder, config);
  const tokenizerConfig = (await readJsonObject(folder, "tokenizer_config.json")) ?? {};
  const tokenizerJson = await readJsonObject(folder, "tokenizer.json");
  const tokenizerSource: TokenizerSource = tokenizerJson
    ? {
        form: "hugging-face",
        tokenizerJson,
        config: tokenizerConfig,
        fileName: `${folder.name}/tokenizer.json`,
      }
    : { form: "none", name: folder.name };
  const tokenizer = tokenizerJson && tokenizerOf(tokenizerSource);
  const chatTemplate = await openChatTemplate(folder, tokenizerConfig);
  const weights = await openWeightFiles(folder);
  const notes = [
    ...OPTIONAL_FILES.flatMap((path) => folder.whyMissing?.(path) ?? []),
    ...generationConfig.unsupported.map(
      (value) => `what ${folder.name} recommends for generation is not followed: ${value}`,
    ),
  ];
  return {
    name: folder.name,
    config,
    configName,
    generationConfig,
    tokenizer,
    tokenizerSource,
    chatTemplate,
    notes,
    ...weights,
  };
}

/** Reads generation_config.json, or config.json without one: older versions of transformers kept the values there. */
async function readGenerationConfig(folder: FileFolder, config: JsonObject): Promise<GenerationConfig> {
  const generation = await readJsonObject(folder, "generation_config.json");
  if (generation) return parseGenerationConfig(generation, `${folder.name}/generation_config.json`);
  const { sparse_attention: _, ...values } = config; // our own key of generation_config.json; config.json may use it otherwise
  return parseGenerationConfig(values, `${folder.name}/config.json`);
}

const OPTIONAL_FILES = [
  "generation_config.json",
  "tokenizer_config.json",
  "tokenizer.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

type WeightFiles = Pick<Checkpoint, "tensors" | "files" | "promised" | "close">;

/** Opens the single file, else the shards of the index: the order of `transformers`. */
async function openWeightFiles(folder: FileFolder): Promise<WeightFiles> {
  const sources: ByteSource[] = [];
  const close = async () => {
    for (const source of sources.splice(0)) await source.close?.();
  };
  try {
    const name = folder.weightFile ?? SINGLE_FILE;
    const single = await folder.open(name);
    if (single) {
      sources.push(single);
      const entries = await readSafetensors(single);
      const tensors = new Map(entries.map((entry) => [entry.name, entry]));
      return { tensors, files: [name], promised: new Map(), close };
    }
    if (folder.weightFile !== undefined) throw await missingFiles(folder, [name]);
    const index = await readJsonObject(folder, INDEX_FILE);
    if (!index) throw await missingFiles(folder, [SINGLE_FILE, INDEX_FILE]);
    const weightMap = readWeightMap(index, `${folder.name}/${INDEX_FILE}`);
    const files = [...new Set(weightMap.values())].sort();
    if (files.length > MAX_FILES)
      throw new ModelFileError(
        `opening ${folder.name}: ${INDEX_FILE} names ${files.length} files; expected at most ${MAX_FILES}`,
      );
    const tensors = await openShards(folder, weightMap, files, sources);
    const promised = new Map([...weightMap].filter(([tensor]) => !tensors.has(tensor)));
    return { tensors, files, promised, close };
  } catch (error) {
    await close().catch(() => {}); // report the first error
    throw error;
  }
}

async function openShards(
  folder: FileFolder,
  weightMap: ReadonlyMap<string, string>,
  files: readonly string[],
  sources: ByteSource[],
): Promise<ReadonlyMap<string, TensorEntry>> {
  const tensors = new Map<string, TensorEntry>();
  for (const file of files) {
    const source = await folder.open(file);
    if (!source)
      throw new ModelFileError(
        `opening ${folder.name}: ${INDEX_FILE} names ${file}, but there is no such file` +
          `${reasonFor(folder, file)}; download it too`,
      );
    sources.push(source);
    for (const entry of await readSafetensors(source)) {
      if ((weightMap.get(entry.name) ?? file) !== file) continue; // the index assigns this tensor to another shard
      if (tensors.has(entry.name))
        throw new ModelFileError(
          `opening ${folder.name}: tensor ${printValue(entry.name)} stands in two shards, the second is ${file}, and ` +
            `${INDEX_FILE} does not say which counts`,
        );
      tensors.set(entry.name, entry);
      if (tensors.size > MAX_TENSORS)
        throw new ModelFileError(
          `opening ${folder.name}: its files hold more than ${MAX_TENSORS} tensors, more than any model it can be`,
        );
    }
  }
  return tensors;
}

function reasonFor(folder: FileFolder, file: string): string {
  const reason = folder.whyMissing?.(file);
  return reason === undefined ? "" : ` (${reason})`;
}

function readWeightMap(index: JsonObject, fileName: string): ReadonlyMap<string, string> {
  const { weight_map: map } = index;
  if (!isObject(map))
    throw new ModelFileError(`reading ${fileName}: expected an object weight_map, got ${printValue(map)}`);
  const count = Object.keys(map).length;
  if (count > MAX_TENSORS)
    throw new ModelFileError(
      `reading ${fileName}: it names ${count} tensors; expected at most ${MAX_TENSORS}`,
    );
  const result = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // a shard must lie beside its index, so that a checkpoint cannot read other files of the machine
    if (typeof file !== "string" || !/^[\w.-]{1,200}\.safetensors$/.test(file))
      throw new ModelFileError(
        `reading ${fileName}: tensor ${printValue(tensor)} must be in a .safetensors file of the same folder, ` +
          `got ${printValue(file)}`,
      );
    result.set(tensor, file);
  }
  return result;
}
