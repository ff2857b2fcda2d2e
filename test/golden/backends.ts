import { inject } from "vitest";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { place } from "../place/here.ts";
import { webgpuForTests } from "../webgpu/environment.ts";

interface GoldenBackend {
  readonly name: string;
  readonly options: EngineOptions;
  /** Golden problems to solve: plain loops take seconds for the long ones, an emulated GPU minutes for all. */
  readonly picoProblems: number;
  /** Golden checkpoints to run, where not all. */
  readonly checkpoints?: readonly string[];
}

async function webGpuRows(): Promise<GoldenBackend[]> {
  const { gpu } = await webgpuForTests();
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return [];
  const share = isSoftwareAdapter(adapter.info)
    ? { picoProblems: 1, checkpoints: ["qwen2-bias"] }
    : { picoProblems: 6 };
  return [{ name: "webgpu", options: { backend: "webgpu", cacheDtype: "f32" }, ...share }];
}

const picoProblems = (most: number) => (inject("isCpuOnly") ? 1 : most);

/** The backends that golden results are checked on; one more row a backend. */
export const BACKENDS: readonly GoldenBackend[] = [
  // plain loops are the same in a browser
  ...(place.name === "Node"
    ? [{ name: "reference", options: { backend: "reference" }, picoProblems: picoProblems(3) } as const]
    : []),
  { name: "wasm, 1 thread", options: { backend: "wasm", threads: 1 }, picoProblems: picoProblems(6) },
  { name: "wasm, 2 threads", options: { backend: "wasm", threads: 2 }, picoProblems: picoProblems(6) },
  ...(await webGpuRows()),
];
