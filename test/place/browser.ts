import { openNavigatorGpu } from "../../src/browser/gpu.ts";
import { openEngine } from "../../src/browser/index.ts";
import { createWasmHost } from "../../src/browser/wasm-host.ts";
import type { TestPlace } from "./place.ts";

/** A Vitest page, whose server serves the repository under /. */
export const place: TestPlace = {
  name: "browser",
  createWasmHost: () => createWasmHost(),
  openGpu: openNavigatorGpu,
  openEngine: ({ model, ...options }) => openEngine({ ...options, model: `/${model}` }),
  readText: async (path) => {
    const response = await fetch(`/${path}`);
    if (!response.ok) throw new Error(`fetching /${path}: the server answered ${response.status}`);
    return response.text();
  },
};
