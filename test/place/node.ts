import { readFile } from "node:fs/promises";
import { prepareVulkan } from "../../scripts/swiftshader.mjs";
import { openDawn } from "../../src/node/dawn.ts";
import { openEngine } from "../../src/node/index.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import type { TestPlace } from "./place.ts";

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
