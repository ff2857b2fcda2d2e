import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { KeySketch, Scores, SequenceRange } from "../backend.ts";
import type { KernelRunner } from "./kernel-runner.ts";
import { tensorOf } from "./refs.ts";
import type { SelectionOps } from "./selection-ops.ts";

/** The ops of the WASM backend on sketches of keys. */
export class KeySketchOps {
  readonly #runner: KernelRunner;
  readonly #selection: SelectionOps;

  constructor(runner: KernelRunner, selection: SelectionOps) {
    this.#runner = runner;
    this.#selection = selection;
  }

  updateKeySketch(layer: number, range: SequenceRange, sketch: KeySketch): void {
    const { address } = tensorOf(sketch.keys, "u32");
    this.#runner.run("updateKeySketch", layer, range.first, range.count, address);
  }

  sketchScores(range: SequenceRange, query: TensorRef, sketch: KeySketch, out: Scores): void {
    const to = this.#selection.addressOf(range, out);
    const { first, count } = range;
    const from = tensorOf(sketch.keys, "u32").address;
    const q = tensorOf(query, "f32").address;
    this.#runner.run("sketchScores", first, count, q, from, to, capacityOf(out.values));
  }
}
