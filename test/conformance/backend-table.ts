import type { BackendFactory } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { openWasmBackend } from "../../src/backend/wasm/open-wasm.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";

export interface BackendRow {
  readonly name: string;
  readonly open: BackendFactory;
}

/** Every backend the conformance suites run on; one more row is one more backend. */
export const BACKENDS: readonly BackendRow[] = [
  { name: "reference", open: createReferenceBackend },
  { name: "wasm, 1 thread", open: (shape) => openWasmBackend(shape, createWasmHost(), { threads: 1 }) },
  { name: "wasm, 2 threads", open: (shape) => openWasmBackend(shape, createWasmHost(), { threads: 2 }) },
];
