import { ModelFileError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { type ChatTemplate, openChatTemplate } from "./chat-template.ts";
import { type GenerationConfig, parseGenerationConfig } from "./generation-config.ts";
import { guardFolder } from "./guarded-folder.ts";
import { type JsonObject, readJsonObject } from "./json-file.ts";
import { missingFiles } from "./missing-files.ts";
import { refuseQuantized } from "./quantization.ts";
import { MAX_TENSORS, readSafetensors, type TensorEntry } from "./safetensors.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";

/** Above every checkpoint in use; each file stays open until the weights are loaded. */
const MAX_FILES = 1000;

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
  /** Tensors that the index promises and no file has, with the file named for each. Whether one is needed shows later. */
  readonly promised: ReadonlyMap<string, string>;
  /** What was passed over, in sentences for people: files that may not be read, values that are not followed. */
  readonly notes: readonly string[];
  /** undefined: the folder has no tokenizer.json; only token ids go in and out. */
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
  /** Closes the weight files; to be called once the weights are loaded. Calling it twice is allowed. */
  close(): Promise<void>;
}

/**
 * Opens a checkpoint. Reads headers and texts, no weights.
 * signal: ends the opening, and later reads of the weights, with an AbortedError.
 * @throws ModelFileError, ConfigError on a quantised checkpoint, AbortedError
 */
export async function openCheckpoint(
  given: FileFolder,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Checkpoint> {
  const folder = guardFolder(given, signal);
  const config = await readJsonObject(folder, "config.json");
  if (!config) throw await missingFiles(folder, ["config.json"]);
  refuseQuantized(config, `${folder.name}/config.json`);
  const generationConfig = await readGenerationConfig(folder, config);
  const tokenizerConfig = (await readJsonObject(folder, "tokenizer_config.json")) ?? {};
  const tokenizerJson = await readJsonObject(folder, "tokenizer.json");
  const tokenizer =
    tokenizerJson && createTokenizer(tokenizerJson, tokenizerConfig, `${folder.name}/tokenizer.json`);
  const chatTemplate = await openChatTemplate(folder, tokenizerConfig);
  const weights = await openWeightFiles(folder);
  const notes = [
    ...OPTIONAL_FILES.flatMap((path) => folder.whyMissing?.(path) ?? []),
    ...generationConfig.unsupported.map(
      (value) => `what ${folder.name} recommends for generation is not followed: ${value}`,
    ),
  ];
  return { name: folder.name, config, generationConfig, tokenizer, chatTemplate, notes, ...weights };
}

/** Without a generation_config.json its values count from config.json, where older versions of transformers kept them. */
async function readGenerationConfig(folder: FileFolder, config: JsonObject): Promise<GenerationConfig> {
  const generation = await readJsonObject(folder, "generation_config.json");
  if (generation) return parseGenerationConfig(generation, `${folder.name}/generation_config.json`);
  const { sparse_attention: _, ...values } = config; // our own key, which there may mean something else
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
      const tensors = new Map(entries.map((entry) => [entry.name, entry]));
      return { tensors, files: [SINGLE_FILE], promised: new Map(), close };
    }
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
    await close().catch(() => {}); // the first error is the one to tell
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
      if ((weightMap.get(entry.name) ?? file) !== file) continue; // the index takes this tensor from another shard
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
    // a shard lies beside its index; anything else would let a checkpoint read other files of the machine
    if (typeof file !== "string" || !/^[\w.-]{1,200}\.safetensors$/.test(file))
      throw new ModelFileError(
        `reading ${fileName}: tensor ${printValue(tensor)} must be in a .safetensors file of the same folder, ` +
          `got ${printValue(file)}`,
      );
    result.set(tensor, file);
  }
  return result;
}
