/**
 * Names of repositories as the hub's own addresses have them: `org/name` is a model, `datasets/org/name` a data set. The
 * second form is that of Python's HfFileSystem.
 */
import { REPO_PART } from "./model-location.ts";

const DATASETS = "datasets/";

/** The repository of a data set `org/name`; undefined if the text is no such name. */
export function datasetRepo(name: string): string | undefined {
  const [org = "", last = "", ...more] = name.split("/");
  const isName = more.length === 0 && REPO_PART.test(org) && REPO_PART.test(last);
  return isName ? `${DATASETS}${name}` : undefined;
}

export function isDataset(repo: string): boolean {
  return repo.startsWith(DATASETS) && repo.split("/").length === 3;
}

/** What a repository holds, for messages. */
export function kindOf(repo: string): "model" | "data set" {
  return isDataset(repo) ? "data set" : "model";
}

/** The name that the hub's lists have: `org/name`. */
export function idOf(repo: string): string {
  return isDataset(repo) ? repo.slice(DATASETS.length) : repo;
}

/** The path of a repository below /api. */
export function apiPath(repo: string): string {
  return isDataset(repo) ? repo : `models/${repo}`;
}

/** The name of a repository's folder in a cache: `models--org--name`, `datasets--org--name`. */
export function folderName(repo: string): string {
  return (isDataset(repo) ? repo : `models/${repo}`).replaceAll("/", "--");
}
