import type { BackendChoice } from "../../src/node/index.ts";

/** The backends that golden results are checked on; one more row a backend. */
export const BACKENDS: readonly {
  readonly name: string;
  readonly options: { readonly backend: BackendChoice; readonly threads?: number };
  /** Golden problems to solve: plain loops take seconds for the long ones. */
  readonly picoProblems: number;
}[] = [
  { name: "reference", options: { backend: "reference" }, picoProblems: 3 },
  { name: "wasm, 1 thread", options: { backend: "wasm", threads: 1 }, picoProblems: 6 },
  { name: "wasm, 2 threads", options: { backend: "wasm", threads: 2 }, picoProblems: 6 },
];
