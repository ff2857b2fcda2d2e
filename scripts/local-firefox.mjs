// Firefox for tests. `node scripts/local-firefox.mjs` unpacks Debian's package into node_modules/.cache/firefox (nothing is
// installed) and prints the outcome to standard error.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensurePackages, unpackedFolder } from "./debian-packages.mjs";

const ROOT = unpackedFolder("firefox");
const PROGRAM = join(ROOT, "usr/lib/firefox-esr/firefox-esr");

/**
 * Returns how to start it: the program and its environment.
 * @returns {{ executablePath: string, env: Record<string, string | undefined> } | undefined} undefined if it is not unpacked
 */
export function firefoxLaunchOptions() {
  if (!existsSync(PROGRAM)) return undefined;
  // of the packages that the machine lacks; Firefox finds its own libraries beside itself
  const lib = join(ROOT, "usr/lib");
  const libraries = readdirSync(lib).find((name) => /-linux-/.test(name));
  return {
    executablePath: PROGRAM,
    env: {
      ...process.env,
      ...(libraries && { LD_LIBRARY_PATH: join(lib, libraries) }),
      XDG_DATA_DIRS: join(ROOT, "usr/share"),
      MOZ_DISABLE_CONTENT_SANDBOX: "1", // the container of a test may forbid its namespaces
    },
  };
}

// exits with 0 in any case: the tests decide whether a missing Firefox is a failure
if (process.argv[1] === fileURLToPath(import.meta.url))
  ensurePackages({
    name: "firefox",
    packages: ["firefox-esr"],
    isThere: () => firefoxLaunchOptions() !== undefined,
  });
