import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import {
  ConfigError,
  ModelFileError,
  type PullDatasetOptions,
  type PulledDataset,
  pullDataset,
} from "../../src/node/index.ts";
import type { DataRecord } from "./data-record.ts";
import {
  DATA_ENDINGS,
  DATA_SET_NAMES,
  DATA_SETS,
  type DataSet,
  type DataSetName,
  isDataSetName,
} from "./data-sets.ts";
import { type DataProblem, readProblems } from "./read-problems.ts";
import { readRecords } from "./read-records.ts";

/** The problems of a data set, and what they are. */
export interface LoadedData {
  readonly name: string;
  readonly problems: readonly DataProblem[];
  /** Decides the problems: the hash of their contents, wherever they came from, and the seed of the options' order. */
  readonly identity: Readonly<Record<string, unknown>>;
  /** Where they came from: a file, or a repository with the commit and the files. */
  readonly source: DataSource;
  readonly notes: readonly string[];
}

export type DataSource =
  | { readonly kind: "file"; readonly path: string }
  | {
      readonly kind: "hub";
      readonly repo: string;
      readonly revision: string;
      readonly commit: string;
      readonly files: readonly string[];
    };

export interface LoadOptions
  extends Pick<PullDatasetOptions, "environment" | "retry" | "signal" | "onDownload"> {
  /** Decides the order of a choice's options. Default 0. */
  readonly seed?: number;
  /** A local file of the problems, or a repository of the hub: `hf:org/name`, `hf:org/name@revision`. */
  readonly from?: string | undefined;
  /** A folder of local files, such as aime24.jsonl; those that it lacks come from the hub. Default: the environment's LESSISMORE_DATA. */
  readonly folder?: string | undefined;
}

/**
 * Loads a published data set by its name: from a local file if one is named or is in the folder, else from the hub.
 * @throws ConfigError, ModelFileError, AbortedError
 */
export async function loadDataset(name: string, options: LoadOptions = {}): Promise<LoadedData> {
  if (!isDataSetName(name))
    throw new ConfigError(`loading the data set "${name}": expected one of ${DATA_SET_NAMES.join(", ")}`);
  const set = DATA_SETS[name];
  const { environment = process.env } = options;
  const folder = options.folder ?? environment.LESSISMORE_DATA;
  const from = options.from ?? (folder ? findLocal(folder, set) : undefined);
  if (from !== undefined && !from.startsWith("hf:"))
    return withSizeNote(await fromFile(name, from, options), set);
  return withSizeNote(await fromHub(name, from, options), set);
}

/**
 * Loads problems from a file of one's own, with `problem` or `question` and `answer` in each row. `name` names its task.
 * @throws ModelFileError
 */
export async function loadDataFile(
  path: string,
  {
    name = basename(path).replace(/\.[a-z]+$/i, ""),
    seed = 0,
  }: { readonly name?: string; readonly seed?: number } = {},
): Promise<LoadedData> {
  return read(name, { records: await readRecords(path), kind: "math", seed, source: { kind: "file", path } });
}

/** The file of a data set in a folder; undefined if it has none. @throws ConfigError when there is no such folder */
function findLocal(folder: string, set: DataSet): string | undefined {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new ConfigError(
      `loading data: ${folder} is no folder; expected a folder of files such as aime24.jsonl, or a file as NAME=FILE`,
    );
  for (const name of set.localNames)
    for (const ending of DATA_ENDINGS) {
      const path = join(folder, name + ending);
      if (existsSync(path)) return path;
    }
  return undefined;
}

async function fromFile(name: DataSetName, path: string, { seed = 0 }: LoadOptions): Promise<LoadedData> {
  const kind = DATA_SETS[name].answerKind;
  return read(name, { records: await readRecords(path), kind, seed, source: { kind: "file", path } });
}

async function fromHub(
  name: DataSetName,
  from: string | undefined,
  { seed = 0, environment, retry, signal, onDownload }: LoadOptions,
): Promise<LoadedData> {
  const set = DATA_SETS[name];
  const [, repo = set.repo, revision] = /^hf:([^@]*)(?:@(.+))?$/.exec(from ?? `hf:${set.repo}`) ?? [];
  const pulled = await pullDataset(repo, {
    ...{ revision, environment, signal, onDownload },
    ...(retry && { retry }),
    choose: (paths) => chooseFiles(repo, set, paths),
  });
  const records: DataRecord[] = [];
  for (const file of pulled.files) {
    const rows = await readRecords(join(pulled.path, ...file.split("/")));
    for (const row of rows)
      records.push(pulled.files.length > 1 ? { ...row, place: `${file}, ${row.place}` } : row);
  }
  const { commit, files, notes }: PulledDataset = pulled;
  const source = { kind: "hub" as const, repo, revision: revision ?? "main", commit, files };
  return read(name, { records, kind: set.answerKind, seed, source, notes });
}

/** The files of the first pattern that fits any. @throws ModelFileError when none does, or parts are missing */
function chooseFiles(repo: string, set: DataSet, paths: readonly string[]): readonly string[] {
  for (const pattern of set.files) {
    const fit = paths.filter((path) => pattern.test(path)).sort();
    const [first] = fit;
    if (first === undefined) continue;
    const parts = Number(/-of-(\d{5})\./.exec(first)?.[1] ?? fit.length);
    if (fit.length < parts)
      throw new ModelFileError(`opening the data set ${repo}: ${fit.length} of ${parts} parts are there`);
    return fit;
  }
  const has = paths.filter((path) => DATA_ENDINGS.some((ending) => path.endsWith(ending)));
  throw new ModelFileError(
    `opening the data set ${repo}: none of its files is known to hold the problems; it has ${has.slice(0, 20).join(", ") || "no data"}. ` +
      "Name a local copy, as NAME=FILE",
  );
}

function read(
  name: string,
  {
    records,
    kind,
    seed,
    source,
    notes = [],
  }: {
    readonly records: readonly DataRecord[];
    readonly kind: DataProblem["answerKind"];
    readonly seed: number;
    readonly source: DataSource;
    readonly notes?: readonly string[];
  },
): LoadedData {
  const place = source.kind === "file" ? source.path : source.repo;
  const found = readProblems(records, { name: place, answerKind: kind, seed });
  const { problems } = found;
  const contents = problems.map(({ id, problem, answer }) => [id, problem, answer]);
  const sha256 = createHash("sha256").update(JSON.stringify(contents)).digest("hex");
  const hasChoices = problems.some(({ choices }) => choices !== undefined);
  return {
    ...{ name, problems, source },
    identity: { sha256, ...(hasChoices && { seed }) },
    notes: [...notes, ...found.notes, ...describeBias(place, problems)],
  };
}

/** Options that are not shuffled favour models that prefer a letter. */
function describeBias(place: string, problems: readonly DataProblem[]): readonly string[] {
  const letters = new Set(problems.map(({ answer }) => answer));
  const isFixed = problems.every(
    ({ answerKind, choices }) => answerKind === "choice" && choices === undefined,
  );
  if (!isFixed || letters.size > 1 || problems.length < 4) return [];
  return [
    `${place}: every right answer is ${[...letters].join("")}, since its options are not shuffled: a model that always says so ` +
      'scores 100 %. Use a file with the columns "Correct Answer" and "Incorrect Answer 1" to 3',
  ];
}

function withSizeNote(data: LoadedData, { size }: DataSet): LoadedData {
  if (data.problems.length === size) return data;
  const note = `${data.name} has ${data.problems.length} problems here; the published set has ${size}`;
  return { ...data, notes: [...data.notes, note] };
}
