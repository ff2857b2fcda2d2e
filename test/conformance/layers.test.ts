/**
 * Steps of one decode row through two layers, recorded one after another, give what they give with a read after each. A
 * backend that records ahead may bring them together into fewer, larger pieces of work; a read keeps them apart.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { place } from "../place/here.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { BACKENDS, chainedWebGpu } from "./backend-table.ts";
import { inputRefs, makeInput, makeWeight, nmse, Trial } from "./trial.ts";

const SIZES = {
  numLayers: 2,
  hiddenSize: 48,
  intermediateSize: 136,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 16,
};
const MODELS = [
  ["f32, bias", { dtype: "f32", bias: true }],
  ["f16", { dtype: "f16" }],
  ["bf16, q/k norm", { dtype: "bf16", headNorm: true }],
] as const;

describe.each([...BACKENDS, ...(await chainedWebGpu())])("$name", ({ name, open }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  it.each(MODELS)("%s: at once or read in between, NMSE < 1e-11", async (_, options) => {
    const results: Float32Array[] = [];
    const dispatches: number[] = [];
    for (const isReadBetween of [true, false]) {
      const backend = await open(...sizesOf(SIZES));
      opened.push(backend);
      const trial = new Trial(backend, 5);
      const { random, x, query, output } = trial;
      const { placing, write } = placeBeforeWriting(backend);
      const inputs = [makeInput(placing, random, options), makeInput(placing, random, options)];
      trial.useInputs(inputs);
      const make = (name: string, rows: number, cols: number) =>
        makeWeight(placing, matrixSpec(name, options.dtype, [rows, cols]), random).ref;
      const { hiddenSize: hidden, intermediateSize: wide } = SIZES;
      const layers = inputs.map((input) => ({
        input: inputRefs(input),
        output: { o: make("o", hidden, 64) },
        feed: {
          norm: makeWeight(placing, vectorSpec("norm", options.dtype, hidden), random).ref,
          ...{
            gate: make("gate", wide, hidden),
            up: make("up", wide, hidden),
            down: make("down", hidden, wide),
          },
        },
      }));
      write();
      const sequence = await trial.filled(37);
      const range = { first: 0, count: 1 };
      const between = async () => {
        if (isReadBetween) await backend.read(x);
      };
      // more than one step: what a backend keeps from one to the next is used again
      for (let step = 0; step < 3; step++) {
        trial.begin([trial.part(sequence, 1)]);
        for (const [layer, weights] of layers.entries()) {
          backend.attentionInput(layer, weights.input, x, query);
          await between();
          backend.attendAll(layer, range, query, output);
          await between();
          backend.attentionOutput(weights.output, output, x);
          await between();
          backend.feedForward(weights.feed, x);
          await between();
        }
        results.push((await trial.floats(x)).slice(0, hidden));
        results.push((await trial.floats(query)).slice(0, 64));
      }
      if (backend instanceof WebGpuBackend) dispatches.push(backend.context.recorder.dispatches);
    }
    // a browser's emulated GPU binds too few buffers for a chain
    if (name === "webgpu, chained" && place.name === "Node")
      expect(dispatches[1]).toBeLessThan(dispatches[0]);
    const half = results.length / 2;
    for (let i = 0; i < half; i++)
      expect(nmse(results[half + i], results[i]), `part ${i}`).toBeLessThan(1e-11);
    expect(results[0].some((value) => value !== 0)).toBe(true);
  });
});

/** A backend on which weights are written later, after the last of them is placed, as a checkpoint's are. */
function placeBeforeWriting(backend: Backend): { placing: Backend; write(): void } {
  const writes: Parameters<Backend["writeWeight"]>[] = [];
  const placing = new Proxy(backend, {
    get(target, key) {
      if (key === "writeWeight")
        return (...args: Parameters<Backend["writeWeight"]>) => void writes.push(args);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    placing,
    write: () => {
      for (const args of writes) void backend.writeWeight(...args);
    },
  };
}
