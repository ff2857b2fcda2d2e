// Builds the WASM kernels (four variants) into wasm/ and TypeScript into dist/.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = (script, args) =>
  execFileSync(process.execPath, [join(root, "node_modules", script), ...args], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });

const only = process.argv[2]; // "wasm" or "ts"; both when left out
if (only !== "ts" && existsSync(join(root, "src/backend/wasm/assembly/index.ts"))) {
  mkdirSync(join(root, "wasm"), { recursive: true });
  const common = [
    "src/backend/wasm/assembly/index.ts", "-O3", "--noAssert", "--runtime", "stub", "--importMemory",
    "--memoryBase", "65536", "--enable", "simd", "--maximumMemory", "65536", "--initialMemory", "16",
  ];
  const threads = ["--sharedMemory", "--enable", "threads"];
  const relaxed = ["--enable", "relaxed-simd"];
  for (const [name, flags] of [
    ["simd-threads", threads],
    ["simd-single", []],
    ["relaxed-threads", [...threads, ...relaxed]],
    ["relaxed-single", relaxed],
  ])
    node("assemblyscript/bin/asc.js", [...common, ...flags, "-o", `wasm/${name}.wasm`]);
}
if (only !== "wasm") {
  rmSync(join(root, "dist"), { recursive: true, force: true });
  node("typescript/bin/tsc", ["-p", "tsconfig.json"]);
}
