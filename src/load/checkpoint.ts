import { ModelFileError } from "../base/errors.ts";
import { type FileFolder, readText } from "./byte-source.ts";
import { type ChatTemplate, createChatTemplate } from "./chat-template.ts";
import { type GenerationConfig, parseGenerationConfig } from "./generation-config.ts";
import { isJsonObject, type JsonObject, readJsonObject } from "./json-file.ts";
import { readSafetensors, type TensorEntry } from "./safetensors.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";

/** A Hugging Face checkpoint folder, opened: its texts are read, its tensors are located. */
export interface Checkpoint {
  readonly name: string;
  readonly config: JsonObject;
  readonly generationConfig: GenerationConfig;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly files: readonly string[];
  /** undefined: the folder has no tokenizer.json; only token ids go in and out. */
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
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
  const tokenizerJson = await readJsonObject(folder, "tokenizer.json");
  const tokenizerConfig = (await readJsonObject(folder, "tokenizer_config.json")) ?? {};
  const jinja = await readText(folder, "chat_template.jinja");
  const generationConfig = parseGenerationConfig(generation, `${folder.name}/generation_config.json`);
  const tokenizer =
    tokenizerJson && createTokenizer(tokenizerJson, tokenizerConfig, `${folder.name}/tokenizer.json`);
  const chatTemplate = createChatTemplate(jinja, tokenizerConfig, folder.name);
  const { tensors, files, close } = await openTensors(folder);
  return {
    name: folder.name, config, generationConfig, tensors, files, tokenizer, chatTemplate, close,
  };
}

async function openTensors(folder: FileFolder) {
  const index = await readJsonObject(folder, INDEX_FILE);
  const weightMap = index && readWeightMap(index, `${folder.name}/${INDEX_FILE}`);
  const files = weightMap ? [...new Set(weightMap.values())].sort() : [SINGLE_FILE];
  const tensors = new Map<string, TensorEntry>();
  const open: TensorEntry["source"][] = [];
  const close = async () => {
    for (const source of open) await source.close?.();
  };
  try {
    for (const file of files) {
      const source = await folder.open(file);
      if (!source)
        throw new ModelFileError(
          `opening ${folder.name}: there is no ${file}${weightMap ? `, which ${INDEX_FILE} names` : ""}`,
        );
      open.push(source);
      for (const entry of await readSafetensors(source)) {
        if (tensors.has(entry.name))
          throw new ModelFileError(`opening ${folder.name}: tensor "${entry.name}" stands in two files`);
        tensors.set(entry.name, entry);
      }
    }
    for (const [tensor, file] of weightMap ?? [])
      if (!tensors.get(tensor)?.source.name.endsWith(file))
        throw new ModelFileError(`opening ${folder.name}: ${INDEX_FILE} says tensor "${tensor}" is in ${file}, but it is not`);
  } catch (error) {
    await close();
    throw error;
  }
  return { tensors, files, close };
}

function readWeightMap(index: JsonObject, fileName: string): Map<string, string> {
  const map = index.weight_map;
  if (!isJsonObject(map)) throw new ModelFileError(`reading ${fileName}: expected a weight_map object`);
  const result = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    // a shard lies beside its index; anything else would let a checkpoint read other files of the machine
    if (typeof file !== "string" || !/^[\w.-]+\.safetensors$/.test(file))
      throw new ModelFileError(`reading ${fileName}: tensor "${tensor}" is said to be in ${JSON.stringify(file)}, which is no shard's name`);
    result.set(tensor, file);
  }
  return result;
}
