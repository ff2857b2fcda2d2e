import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { ConfigError } from "../../src/node/index.ts";
import { DATA_ENDINGS, DATA_SET_NAMES, isDataSetName } from "./data-sets.ts";

/** What the command line's `--data` options say. */
export interface DataOptions {
  /** Files or hub repositories of published sets, by name. */
  readonly named: ReadonlyMap<string, string>;
  /** A folder with local copies. */
  readonly folder?: string;
  /** Files with problems of one's own; the task has the file's name without its ending. */
  readonly files: readonly { readonly task: string; readonly path: string }[];
}

/**
 * Reads `--data` options: `NAME=FILE`, `NAME=hf:org/name@revision`, a folder, or a file of one's own.
 * @throws ConfigError on what is none of them, on a name that comes again, and on two folders
 */
export function readDataOptions(texts: readonly string[]): DataOptions {
  const named = new Map<string, string>();
  const files: { readonly task: string; readonly path: string }[] = [];
  let folder: string | undefined;
  for (const text of texts) {
    const [, name = "", from = ""] = /^([A-Za-z0-9_-]+)=(.+)$/s.exec(text) ?? [];
    if (isDataSetName(name) && !existsSync(text)) {
      if (named.has(name)) throw new ConfigError(`--data ${text}: ${name} has a source already`);
      if (!from.startsWith("hf:") && !isFile(from))
        throw new ConfigError(`--data ${text}: there is no file ${from}`);
      named.set(name, from);
    } else if (existsSync(text) && statSync(text).isDirectory()) {
      if (folder !== undefined) throw new ConfigError(`--data ${text}: ${folder} is the folder already`);
      folder = text;
    } else if (isFile(text) && DATA_ENDINGS.some((ending) => text.toLowerCase().endsWith(ending)))
      files.push({ task: basename(text).replace(/\.[a-z]+$/i, ""), path: text });
    else throw unknownData(text, name);
  }
  const tasks = files.map(({ task }) => task);
  const repeated = tasks.find((task, index) => tasks.indexOf(task) !== index || isDataSetName(task));
  if (repeated !== undefined)
    throw new ConfigError(
      `--data: ${isDataSetName(repeated) ? `the file ${repeated} has the name of a published set: write ${repeated}=FILE` : `two files are named ${repeated}`}`,
    );
  return { named, files, ...(folder !== undefined && { folder }) };
}

function unknownData(text: string, name: string): ConfigError {
  const why =
    name === "" && !existsSync(text)
      ? "there is no such file"
      : name === "" || existsSync(text)
        ? "it is no file that ends in .jsonl, .json, .csv or .parquet, and no folder"
        : `"${name}" is none of ${DATA_SET_NAMES.join(", ")}`;
  return new ConfigError(`--data ${text}: ${why}; expected NAME=FILE, FILE.jsonl or a folder`);
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
