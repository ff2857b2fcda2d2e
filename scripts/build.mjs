// Builds the WASM kernels (four variants) into wasm/, and the TypeScript with a copy of them into dist/. Each folder gets
// a stamp that names the sources it was made from. `node scripts/build.mjs [wasm|ts]`; both when left out.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { exportsOf, exportsSource } from "./wasm-exports.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ASSEMBLY = "src/backend/wasm/assembly";
const KERNELS = "src/backend/webgpu/kernels";
const KERNEL_SOURCES = "src/backend/webgpu/kernel-sources.ts";
const WASM_EXPORTS = "src/backend/wasm/exports.ts";
const QUANTISER = "src/model/quantiser-module.ts";
/** The constants that AssemblyScript takes from the TypeScript above it. */
const DTYPE_CODES = "src/base/format-codes.ts";

/** Targets of a build: the sources and settings it depends on, where it lands, and how. */
const TARGETS = {
  wasm: {
    folder: "wasm",
    made: QUANTISER,
    sources: [ASSEMBLY, DTYPE_CODES, "scripts/build.mjs", "package-lock.json"],
    build: buildWasm,
  },
  ts: {
    folder: "dist",
    sources: [
      "src",
      "eval",
      "bench",
      "test",
      "wasm",
      "tsconfig.json",
      "scripts/build.mjs",
      "scripts/bundle.mjs",
      "scripts/wasm-exports.mjs",
      "package-lock.json",
    ],
    build: buildTypeScript,
  },
};

/** True if the build of a target was made from the current sources. */
export function isFresh(name) {
  const { folder, sources, made } = TARGETS[name];
  const stamp = join(root, folder, ".stamp");
  if (made && !existsSync(join(root, made))) return false;
  return existsSync(stamp) && readFileSync(stamp, "utf8") === fingerprint(sources);
}

/** Builds a target. Sources that change meanwhile leave the stamp stale, never wrongly fresh. */
export function build(name) {
  const { folder, sources, build } = TARGETS[name];
  bundleKernels();
  describeExports();
  const before = fingerprint(sources);
  rmSync(join(root, folder, ".stamp"), { force: true });
  build();
  mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, folder, ".stamp"), before);
}

function buildWasm() {
  if (!existsSync(join(root, ASSEMBLY, "index.ts"))) return;
  mkdirSync(join(root, "wasm"), { recursive: true });
  const common = [
    ...[`${ASSEMBLY}/index.ts`, "-O3", "--noAssert", "--runtime", "stub", "--importMemory"],
    ...["--memoryBase", "65536", "--enable", "simd", "--maximumMemory", "65536", "--initialMemory", "16"],
  ];
  const threads = ["--sharedMemory", "--enable", "threads"];
  const relaxed = ["--enable", "relaxed-simd"];
  const variants = {
    "simd-threads": threads,
    "simd-single": [],
    "relaxed-threads": [...threads, ...relaxed],
    "relaxed-single": relaxed,
  };
  for (const [name, flags] of Object.entries(variants))
    runNode("node_modules/assemblyscript/bin/asc.js", [...common, ...flags, "-o", `wasm/${name}.wasm`]);
  buildQuantiser();
}

/** Makes the quantiser a module of TypeScript: it is small, and a place without the WASM backend has it too. */
function buildQuantiser() {
  const settings = ["-O3", "--noAssert", "--runtime", "stub", "--use", "abort=", "--enable", "simd"];
  const folder = mkdtempSync(join(tmpdir(), "lessismore-build-"));
  try {
    const file = join(folder, "quantise.wasm");
    runNode("node_modules/assemblyscript/bin/asc.js", [`${ASSEMBLY}/quantise.ts`, ...settings, "-o", file]);
    // Short lines: Node prints the one that threw.
    const lines =
      readFileSync(file)
        .toString("base64")
        .match(/.{1,100}/g) ?? [];
    writeIfChanged(
      QUANTISER,
      `// Made by scripts/build.mjs from ${ASSEMBLY}/quantise.ts.\nexport const QUANTISER_MODULE = [\n` +
        `${lines.map((line) => `  "${line}",\n`).join("")}].join("");\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** From Node 22.8 on, V8 keeps the compiled code between runs. */
const COMMAND_LINE = `#!/usr/bin/env node
import * as module from "node:module";
module.enableCompileCache?.();
await import("../bundle/node/main.js");
`;

function buildTypeScript() {
  rmSync(join(root, "dist"), { recursive: true, force: true });
  runNode("node_modules/typescript/bin/tsc", ["-p", "tsconfig.json"]);
  runNode("scripts/bundle.mjs", []);
  // The documented way to run a checkout: `node dist/cli/main.js`.
  mkdirSync(join(root, "dist/cli"));
  writeFileSync(join(root, "dist/cli/main.js"), COMMAND_LINE);
  // The kernels stand as far from dist/src as they do from src: one relative URL is right in both, also for bundlers.
  cpSync(join(root, "wasm"), join(root, "dist/wasm"), {
    recursive: true,
    filter: (path) => !path.endsWith(".stamp"),
  });
}

/**
 * Makes the WGSL files a module: browsers and bundlers have no common way to import text. Its type knows the names of the
 * files, so that a misspelled one is an error of the TypeScript compiler.
 */
export function bundleKernels() {
  const files = readdirSync(join(root, KERNELS)).filter((file) => file.endsWith(".wgsl"));
  const entries = files
    .sort()
    .map((file) => [file.replace(/\.wgsl$/, ""), readFileSync(join(root, KERNELS, file), "utf8")]);
  const text =
    `// Made by scripts/build.mjs from ${KERNELS}/*.wgsl.\n` +
    `export const KERNEL_SOURCES = ${JSON.stringify(Object.fromEntries(entries), null, 2)};\n\n` +
    "export type KernelFile = keyof typeof KERNEL_SOURCES;\n";
  writeIfChanged(KERNEL_SOURCES, text);
}

/** Makes TypeScript of the signatures that the AssemblyScript exports. */
function describeExports() {
  if (!existsSync(join(root, ASSEMBLY, "index.ts"))) return;
  const functions = exportsOf(join(root, ASSEMBLY), "index");
  writeIfChanged(WASM_EXPORTS, exportsSource(functions, `${ASSEMBLY}/index.ts`));
}

/** Leaves an unchanged file untouched, so that the build made from it stays fresh. */
function writeIfChanged(file, text) {
  const path = join(root, file);
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

function runNode(script, args) {
  // Children write to standard error: standard output belongs to whatever the set-up runs before.
  const stdio = ["ignore", process.stderr, process.stderr];
  execFileSync(process.execPath, [join(root, script), ...args], { cwd: root, stdio });
}

function fingerprint(sources) {
  const hash = createHash("sha256");
  const visit = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat?.isDirectory())
      for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`);
    else if (stat) hash.update(`${path} ${stat.size} ${stat.mtimeMs}\n`);
  };
  for (const source of sources) visit(source);
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const only = process.argv[2];
  if (only !== undefined && !Object.hasOwn(TARGETS, only)) {
    console.error(`build: unknown target "${only}"; known are ${Object.keys(TARGETS).join(", ")}`);
    process.exit(2);
  }
  try {
    for (const name of only === undefined ? Object.keys(TARGETS) : [only]) build(name);
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exit(1);
  }
}
