/** Finds tasks by the names of the command line. */
import { ConfigError } from "../../src/node/index.ts";
import { type DataOptions, type DataSetName, loadDataFile, loadDataset } from "../data/index.ts";
import type { TaskName } from "../problems/index.ts";
import { dataTask } from "./data-task.ts";
import { generatedTask } from "./generated.ts";
import { type NeedleFeed, needleTask } from "./needle.ts";
import { perplexityTask } from "./perplexity.ts";
import { rightChainTask } from "./right-chain.ts";
import type { Task } from "./task.ts";
import { openText } from "./text-source.ts";

/** What a task's problems depend on. */
export interface TaskOptions {
  /** Decides the text that we make. */
  readonly seed: number;
  /** Text of the needle's haystack and of perplexity: a file; left out: prose of our own. */
  readonly textFile?: string;
  /** Tokens of a window of perplexity that are forced. */
  readonly forcedTokens?: number;
  /** Where published sets come from, and files of one's own. */
  readonly data?: DataOptions;
  readonly signal?: AbortSignal;
}

type TaskMaker = (options: TaskOptions) => Promise<Task>;

const generated =
  (name: TaskName): TaskMaker =>
  async () =>
    generatedTask(name);
const chain =
  (name: TaskName): TaskMaker =>
  async () =>
    rightChainTask(name);
const needle =
  (feed: NeedleFeed): TaskMaker =>
  async ({ textFile, seed }) =>
    needleTask(feed, await openText(textFile, seed));

const dataSet =
  (name: DataSetName): TaskMaker =>
  async ({ data, seed, signal }) => {
    const from = data?.named.get(name);
    const folder = data?.folder;
    const where = { ...(from !== undefined && { from }), ...(folder !== undefined && { folder }) };
    return dataTask(await loadDataset(name, { seed, ...where, ...(signal !== undefined && { signal }) }));
  };

const MAKERS: Readonly<Record<string, TaskMaker>> = {
  registers: generated("registers"),
  variables: generated("variables"),
  graph: generated("graph"),
  "registers-chain": chain("registers"),
  "variables-chain": chain("variables"),
  "graph-chain": chain("graph"),
  needle: needle("question"),
  "needle-context": needle("context"),
  "needle-prompt": needle("prompt"),
  perplexity: async ({ textFile, seed, forcedTokens }) =>
    perplexityTask(await openText(textFile, seed), forcedTokens === undefined ? {} : { forcedTokens }),
  aime24: dataSet("aime24"),
  aime25: dataSet("aime25"),
  math500: dataSet("math500"),
  "gpqa-diamond": dataSet("gpqa-diamond"),
};

/** Names that `openTask` knows. */
export const TASK_NAMES: readonly string[] = Object.keys(MAKERS);

/** Opens a task by its name: one of ours, a published set, or a file of `data.files`. @throws ConfigError, ModelFileError */
export async function openTask(name: string, options: TaskOptions): Promise<Task> {
  const file = options.data?.files.find(({ task }) => task === name);
  if (file !== undefined) return dataTask(await loadDataFile(file.path, { name, seed: options.seed }));
  const make = Object.hasOwn(MAKERS, name) ? MAKERS[name] : undefined;
  if (make === undefined)
    throw new ConfigError(
      `unknown task "${name}"; known are ${TASK_NAMES.join(", ")}, and files of your own by --data FILE`,
    );
  return make(options);
}
