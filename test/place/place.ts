import type { WasmHost } from "../../src/backend/wasm/open-wasm.ts";
import type { Engine } from "../../src/engine/engine-api.ts";
import type { EngineOptions } from "../../src/open-options.ts";

/** Operations that differ between Node and a browser, for tests that run in both. */
export interface TestPlace {
  readonly name: "Node" | "browser";
  createWasmHost(): WasmHost;
  /** Opens WebGPU: the machine's GPU, else SwiftShader. @throws Error with the reason if it is unavailable */
  openGpu(): Promise<GPU>;
  /** Opens the checkpoint in a folder of this repository. */
  openEngine(options: EngineOptions & { readonly model: string }): Promise<Engine>;
  /** Reads a text file of this repository. */
  readText(path: string): Promise<string>;
}
