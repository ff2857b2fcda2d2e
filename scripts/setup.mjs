// Sets up a clone: installs the locked packages and builds, each only if it is out of date. Uses Node's modules only,
// since it runs before any package is installed. Prints one line for each step to standard error.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, isFresh } from "./build.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LOCK_TIMEOUT_MS = 10 * 60_000; // npm ci on a slow line takes minutes
const LOCK_POLL_MS = 100;

const steps = [
  {
    name: "installed packages (npm ci)",
    isDone: isInstalled,
    run: () => npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
  },
  { name: "built WASM kernels", isDone: () => isFresh("wasm"), run: () => build("wasm") },
  { name: "built TypeScript", isDone: () => isFresh("ts"), run: () => build("ts") },
];

/** Returns true if node_modules matches package-lock.json. npm writes its copy of the lock file there last. */
function isInstalled() {
  const wanted = packagesOf(join(root, "package-lock.json"));
  const found = packagesOf(join(root, "node_modules/.package-lock.json"));
  if (!wanted || !found) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === "" || found[path]?.version === version || (optional && !found[path]),
  );
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/** Runs npm quietly. On failure it prints npm's reason without the manual that npm appends. */
function npm(...args) {
  const isWindows = process.platform === "win32";
  const options = { cwd: root, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8", shell: isWindows };
  const { status, error, stderr } = spawnSync(isWindows ? "npm.cmd" : "npm", args, options);
  if (error) throw error;
  if (status === 0) return;
  console.error(stderr.split(/^npm error (?:Usage:|A complete log)/m, 1)[0]?.trimEnd());
  throw new Error(`npm ${args[0]} failed`);
}

/** Runs `work` under a lock of this checkout. The lock file lies outside node_modules, which npm empties. */
function withLock(work) {
  const key = createHash("sha256").update(root).digest("hex").slice(0, 16);
  const path = join(tmpdir(), `lessismore-setup-${key}.lock`);
  const deadline = Date.now() + LOCK_TIMEOUT_MS;
  while (!tryLock(path)) {
    if (Date.now() > deadline) throw new Error(`another set-up holds ${path}; remove it if none is running`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
  }
  try {
    work();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path) {
  try {
    const file = openSync(path, "wx");
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    if (!isHeld(path)) rmSync(path, { force: true });
    return false;
  }
}

function isHeld(path) {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    if (pid > 0) process.kill(pid, 0);
    return true; // the process is alive, or has not written its id yet
  } catch (error) {
    return error.code === "EPERM"; // EPERM: alive, but another user's
  }
}

try {
  if (!steps.every((step) => step.isDone()))
    withLock(() => {
      for (const step of steps) {
        if (step.isDone()) continue;
        const start = Date.now();
        step.run();
        console.error(`setup: ${step.name} in ${((Date.now() - start) / 1000).toFixed(1)} s`);
      }
    });
} catch (error) {
  console.error(`setup: ${error.message}`);
  // before `npm test` and `test:quick`, leave a compile error to the types gate, which counts it with all other results
  const isCountedLater =
    /^pretest(:quick)?$/.test(process.env.npm_lifecycle_event ?? "") && isInstalled() && isFresh("wasm");
  process.exitCode = isCountedLater ? 0 : 1;
}
