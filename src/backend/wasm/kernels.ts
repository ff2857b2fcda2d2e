import { BackendError } from "../../base/errors.ts";
import * as layout from "./assembly/layout.ts";
import { ARITIES, type WasmExports } from "./exports.ts";
import { WORDS } from "./memory-map.ts";

/**
 * The exports of an instance as kernels, once they agree with this side in every function's arity, word and address: a
 * module of another version would write into the wrong memory.
 * @throws BackendError naming the first difference
 */
export function kernelsOf(exports: WebAssembly.Exports): WasmExports {
  const difference = findDifference(exports);
  if (difference === undefined) return exports as WebAssembly.Exports & WasmExports;
  throw new BackendError(
    `the wasm kernels are of another version: ${difference}; ` +
      "install the package anew, or build it with npm run build, and clear what caches .wasm files",
  );
}

/** Describes how the exports differ from the expected ones; undefined if they agree. */
function findDifference(exports: WebAssembly.Exports): string | undefined {
  for (const [name, arity] of Object.entries(ARITIES)) {
    const kernel = exports[name];
    if (typeof kernel !== "function") return `expected a function ${name}, got ${typeof kernel}`;
    if (kernel.length !== arity) return `expected ${arity} parameters of ${name}, got ${kernel.length}`;
  }
  for (const [name, value] of Object.entries({ ...WORDS, ...layout })) {
    const constant = exports[name];
    const found = constant instanceof WebAssembly.Global ? constant.value : typeof constant;
    if (found !== value) return `expected ${name} to be ${value}, got ${found}`;
  }
  return undefined;
}
