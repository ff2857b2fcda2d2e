// Programs of Debian for tests: unpacks packages, and what they need and the machine lacks, into a folder below
// node_modules/.cache. Nothing is installed. It needs apt, and root only to refresh apt's lists.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), "node_modules/.cache");
const TIMEOUT_MS = 3 * 60_000; // seconds on a good line

/** The folder of unpacked packages, such as `slurm`. */
export const unpackedFolder = (name) => join(CACHE, name);

/** The folder of the packages' libraries, such as usr/lib/x86_64-linux-gnu; undefined if `has` is in none. */
export function libraryFolder(root, has = ".") {
  const lib = join(root, "usr/lib");
  const found = existsSync(lib)
    ? readdirSync(lib).find((name) => existsSync(join(lib, name, has)))
    : undefined;
  return found === undefined ? undefined : join(lib, found);
}

/**
 * Unpacks packages into a folder of the cache, whole or not at all.
 * @param {string} name of the folder
 * @param {readonly string[]} packages
 * @throws {Error} when this is not Debian, or a package does not come
 */
export function unpackPackages(name, packages) {
  if (!existsSync("/etc/debian_version")) throw new Error("this is not Debian");
  const start = Date.now();
  const root = unpackedFolder(name);
  const folder = `${root}.new`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const call = (program, args) => {
    const timeout = Math.max(1, TIMEOUT_MS - (Date.now() - start));
    const result = spawnSync(program, args, { cwd: folder, timeout, encoding: "utf8" });
    if (result.status !== 0)
      throw new Error(`${program} ${args[0]}: ${result.error?.message ?? result.stderr.trim()}`);
    return result.stdout;
  };
  try {
    if (process.getuid?.() === 0) call("apt-get", ["update", "-qq"]);
    // What these packages need and the machine lacks.
    const simulated = call("apt-get", [
      ...["install", "--print-uris", "-qq", "-y", "--no-install-recommends"],
      ...packages,
    ]);
    const named = [...simulated.matchAll(/^'[^']+' ([^_\s]+)_/gm)].map((match) => match[1]);
    call("apt-get", [
      ...["download", "-qq", "-o", "APT::Sandbox::User=root"],
      ...new Set([...packages, ...named]),
    ]);
    for (const file of readdirSync(folder).filter((one) => one.endsWith(".deb")))
      call("dpkg-deb", ["--extract", file, "."]);
    rmSync(root, { recursive: true, force: true });
    renameSync(folder, root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Unpacks packages unless they are there, and says what came of it in one line on standard error.
 * @param {{ name: string, packages: readonly string[], isThere: () => boolean }} wanted
 */
export function ensurePackages({ name, packages, isThere }) {
  const say = (text) => process.stderr.write(`${text}\n`);
  if (isThere()) return say(`${name} is there, for tests`);
  const start = Date.now();
  try {
    unpackPackages(name.toLowerCase(), packages);
    say(`unpacked ${name} for tests in ${((Date.now() - start) / 1000).toFixed(1)} s`);
  } catch (error) {
    say(`no ${name} for tests: ${error instanceof Error ? error.message : String(error)}`);
  }
}
