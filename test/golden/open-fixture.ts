import { fileURLToPath } from "node:url";

/** The path of a folder of this repository, from its root. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
