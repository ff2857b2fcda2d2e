import { ModelFileError } from "../base/errors.ts";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { type ChatTemplate, openChatTemplate } from "./chat-template.ts";
import { type GenerationConfig, parseGenerationConfig } from "./generation-config.ts";
import { isJsonObject, type JsonObject, readJsonObject, showValue } from "./json-file.ts";
import { readSafetensors, type TensorEntry } from "./safetensors.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";

/** A Hugging Face checkpoint folder, opened: its texts are read, its tensors are located, no weights are read. */
export interface Checkpoint {
  /** The folder, for messages. */
  readonly name: string;
  /** config.json as it stands; `parseModelConfig` reads it. */
  readonly config: JsonObject;
  readonly generationConfig: GenerationConfig;
  /** By name, as the files spell it. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Names of the weight files. */
  readonly files: readonly string[];
  /** undefined: the folder has no tokenizer.json; only token ids go in and out. */
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
  /** Closes the weight files; to be called once the weights are loaded. Calling it twice is allowed. */
  close(): Promise<void>;
}

/** Opens a checkpoint. Reads headers and texts, no weights. @throws ModelFileError */
export async function openCheckpoint(folder: FileFolder): Promise<Checkpoint> {
  const config = await readJsonObject(folder, "config.json");
  if (!config)
    throw new ModelFileError(
      `opening ${folder.name}: there is no config.json; give the folder of a Hugging Face checkpoint`,
    );
  const generation = (await readJsonObject(folder, "generation_config.json")) ?? {};
  const generationConfig = parseGenerationConfig(generation, `${folder.name}/generation_config.json`);
  const tokenizerConfig = (await readJsonObject(folder, "tokenizer_config.json")) ?? {};
  const tokenizerJson = await readJsonObject(folder, "tokenizer.json");
  const tokenizer =
    tokenizerJson && createTokenizer(tokenizerJson, tokenizerConfig, `${folder.name}/tokenizer.json`);
  const chatTemplate = await openChatTemplate(folder, tokenizerConfig);
  const weights = await openWeightFiles(folder);
  return { name: folder.name, config, generationConfig, tokenizer, chatTemplate, ...weights };
}

type WeightFiles = Pick<Checkpoint, "tensors" | "files" | "close">;

/** The single file where there is one, else the shards of the index, in the order of `transformers`. */
async function openWeightFiles(folder: FileFolder): Promise<WeightFiles> {
  const sources: ByteSource[] = [];
  const close = async () => {
    for (const source of sources.splice(0)) await source.close?.();
  };
  try {
    const single = await folder.open(SINGLE_FILE);
    if (single) {
      sources.push(single);
      const entries = await readSafetensors(single);
      return { tensors: new Map(entries.map((entry) => [entry.name, entry])), files: [SINGLE_FILE], close };
    }
    const index = await readJsonObject(folder, INDEX_FILE);
    if (!index)
      throw new ModelFileError(
        `opening ${folder.name}: there is neither ${SINGLE_FILE} nor ${INDEX_FILE}; ` +
          "weights of other formats must be converted to safetensors",
      );
    const weightMap = readWeightMap(index, `${folder.name}/${INDEX_FILE}`);
    const files = [...new Set(weightMap.values())].sort();
    return { tensors: await openShards(folder, weightMap, files, sources), files, close };
  } catch (error) {
    await close();
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
        `opening ${folder.name}: ${INDEX_FILE} names ${file}, but there is no such file; download it too`,
      );
    sources.push(source);
    for (const entry of await readSafetensors(source)) {
      if ((weightMap.get(entry.name) ?? file) !== file) continue; // the index takes this tensor from another shard
      if (tensors.has(entry.name))
        throw new ModelFileError(
          `opening ${folder.name}: tensor ${showValue(entry.name)} stands in two shards, the second is ${file}, and ` +
            `${INDEX_FILE} does not say which counts`,
        );
      tensors.set(entry.name, entry);
    }
  }
  for (const [tensor, file] of weightMap)
    if (!tensors.has(tensor))
      throw new ModelFileError(
        `opening ${folder.name}: ${INDEX_FILE} says tensor ${showValue(tensor)} is in ${file}, but it is not; ` +
          "the files belong to different versions, download all of them again",
      );
  return tensors;
}

function readWeightMap(index: JsonObject, fileName: string): ReadonlyMap<string, string> {
  const { weight_map: map } = index;
  if (!isJsonObject(map))
    throw new ModelFileError(`reading ${fileName}: expected an object weight_map, got ${showValue(map)}`);
  const result = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // a shard lies beside its index; anything else would let a checkpoint read other files of the machine
    if (typeof file !== "string" || !/^[\w.-]+\.safetensors$/.test(file))
      throw new ModelFileError(
        `reading ${fileName}: tensor ${showValue(tensor)} must be in a .safetensors file of the same folder, ` +
          `got ${showValue(file)}`,
      );
    result.set(tensor, file);
  }
  return result;
}
