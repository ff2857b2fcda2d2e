import type { WasmHost } from "../../src/backend/wasm/open-wasm.ts";
import type { Engine } from "../../src/engine/engine-api.ts";
import type { EngineOptions } from "../../src/open-options.ts";

/** What Node and a browser do each in its own way for the tests that run in both. */
export interface TestPlace {
  readonly name: "Node" | "browser";
  createWasmHost(): WasmHost;
  /** WebGPU of this place: the machine's GPU, else SwiftShader. @throws Error with the reason where there is none. */
  openGpu(): Promise<GPU>;
  /** Opens the checkpoint in a folder of this repository. */
  openEngine(options: EngineOptions & { readonly model: string }): Promise<Engine>;
  /** The text of a file of this repository. */
  readText(path: string): Promise<string>;
}
