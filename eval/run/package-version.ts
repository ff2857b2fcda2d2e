import { readFileSync } from "node:fs";

/** The version of this package; "unknown" in a copy without its package.json. */
export function packageVersion(): string {
  // eval/run, dist/eval/run and dist/bundle/node are at different depths below package.json.
  for (const up of ["../../", "../../../"])
    try {
      const { name, version } = JSON.parse(
        readFileSync(new URL(`${up}package.json`, import.meta.url), "utf8"),
      );
      if (name === "lessismore") return String(version);
    } catch {
      // Not at this depth.
    }
  return "unknown";
}
