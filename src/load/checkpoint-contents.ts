import type { FileFolder } from "./byte-source.ts";
import type { Calibration } from "./calibration.ts";
import type { CheckpointTemplate } from "./chat-template.ts";
import type { GenerationConfig } from "./generation-config.ts";
import type { JsonObject } from "./json-file.ts";
import type { TensorEntry } from "./tensor-entry.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { TokenizerSource } from "./tokenizer-source.ts";

/**
 * An open checkpoint in Hugging Face's spelling, whatever its files are: texts are read and tensors located; weights stay in
 * their files.
 */
export interface Checkpoint {
  /** Names the folder or file in messages. */
  readonly name: string;
  /** Contents of config.json, unchecked; `parseModelConfig` checks them. Of another format, what config.json would say. */
  readonly config: JsonObject;
  /** Names the source of `config` in messages. */
  readonly configName: string;
  /** The file's own name of a key of `config`, if the config is made of a file's metadata. */
  readonly metadataKey?: (key: string) => string | undefined;
  readonly generationConfig: GenerationConfig;
  /** What somebody measured on this model, from the file beside it. */
  readonly calibration?: Calibration;
  /** Tensors by their names, in Hugging Face's spelling. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Names of the weight files. */
  readonly files: readonly string[];
  /** Tensors that the index names and no file holds, with the file named for each. The model decides whether it needs one. */
  readonly promised: ReadonlyMap<string, string>;
  /** Notes for people about ignored parts: files that the server refused, recommended values that the engine lacks. */
  readonly notes: readonly string[];
  /** undefined when the checkpoint has no tokenizer: requests then use token ids only. */
  readonly tokenizer: Tokenizer | undefined;
  /** What the tokenizer was made of; "none" without one. */
  readonly tokenizerSource: TokenizerSource;
  readonly chatTemplate: CheckpointTemplate | undefined;
  /** Closes the weight files. Call it once the weights are loaded; a second call does nothing. */
  close(): Promise<void>;
}

/** Looks for a checkpoint of one kind in a folder. Returns what opens it, or undefined if the folder is of another kind. */
export type FindCheckpoint = (folder: FileFolder) => Promise<(() => Promise<Checkpoint>) | undefined>;
