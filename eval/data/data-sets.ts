/** The published data sets: where the hub has them, and how their rows are read. */
import type { AnswerKind } from "../tasks/task.ts";

export interface DataSet {
  /** `org/name` on the hub: the repositories that lm-evaluation-harness reads. */
  readonly repo: string;
  /** Files of the repository that hold the problems, in one of the forms it has had; the first pattern that fits counts. */
  readonly files: readonly RegExp[];
  /** Names of a local copy, without the ending. */
  readonly localNames: readonly string[];
  readonly answerKind: AnswerKind;
  /** Number of problems, for a note if a file has another. */
  readonly size: number;
}

export type DataSetName = "aime24" | "aime25" | "math500" | "gpqa-diamond";

const TEST_SPLIT = [
  /^test\.jsonl$/,
  /^(data\/|default\/)?test[-/][^/]*\.parquet$/,
  /^test\.(json|csv|parquet)$/,
];
const TRAIN_SPLIT = [/^(data\/|default\/)?train[-/][^/]*\.parquet$/, /^train\.(jsonl|json|csv|parquet)$/];

/** Columns are looked up without regard to case: AIME_2024 has `Problem` and `Answer`, the others `problem` and `answer`. */
export const DATA_SETS: Readonly<Record<DataSetName, DataSet>> = {
  aime24: {
    repo: "Maxwell-Jia/AIME_2024",
    files: [/^aime_2024_problems\.(parquet|jsonl)$/, ...TRAIN_SPLIT],
    localNames: ["aime24", "aime2024", "aime_2024", "aime_2024_problems", "aime"],
    answerKind: "integer",
    size: 30,
  },
  aime25: {
    repo: "math-ai/aime25",
    files: TEST_SPLIT,
    localNames: ["aime25", "aime2025", "aime_2025"],
    answerKind: "integer",
    size: 30,
  },
  math500: {
    repo: "HuggingFaceH4/MATH-500",
    files: TEST_SPLIT,
    localNames: ["math500", "math-500", "math_500"],
    answerKind: "math",
    size: 500,
  },
  "gpqa-diamond": {
    repo: "Idavidrein/gpqa",
    files: [/^(data\/)?gpqa_diamond\.csv$/, /^gpqa_diamond\/[^/]*\.parquet$/],
    localNames: ["gpqa-diamond", "gpqa_diamond", "gpqa"],
    answerKind: "choice",
    size: 198,
  },
};

export const DATA_SET_NAMES = Object.keys(DATA_SETS) as readonly DataSetName[];

/** Endings of files that can be read, the preferred first. */
export const DATA_ENDINGS = [".parquet", ".jsonl", ".json", ".csv"] as const;

export function isDataSetName(name: string): name is DataSetName {
  return Object.hasOwn(DATA_SETS, name);
}
