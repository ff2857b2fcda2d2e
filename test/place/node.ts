import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { prepareVulkan } from "../../scripts/swiftshader.mjs";
import { openDawn } from "../../src/node/dawn.ts";
import { openEngine } from "../../src/node/index.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import type { TestPlace } from "./place.ts";

// Node 20 needs a flag for relaxed SIMD; later versions enable it and do not know the flag.
if (Number.parseInt(process.versions.node, 10) < 22) setFlagsFromString("--experimental-wasm-relaxed-simd");

export const place: TestPlace = {
  name: "Node",
  createWasmHost,
  openGpu: async () => {
    const missing = prepareVulkan();
    if (missing !== undefined) throw new Error(missing);
    return openDawn();
  },
  openEngine: ({ model, ...options }) => openEngine({ ...options, model: repositoryPath(model) }),
  readText: (path) => readFile(repositoryPath(path), "utf8"),
};
