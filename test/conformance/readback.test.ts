/** Readbacks of every backend: parts of tensors, as they were when they were added. */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { ShapeError } from "../../src/base/errors.ts";
import { sizesOf } from "../sizes.ts";
import { BACKENDS } from "./backend-table.ts";

describe.each(BACKENDS)("$name", ({ open }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openBackend(): Promise<Backend> {
    const backend = await open(...sizesOf());
    opened.push(backend);
    return backend;
  }

  it("has the elements that tensors had when they were added, whatever is written later", async () => {
    const backend = await openBackend();
    const floats = backend.createTensor("f32", [3, 7]);
    const words = backend.createTensor("u32", [9]);
    backend.write(
      floats,
      Float32Array.from({ length: 21 }, (_, i) => i + 0.5),
    );
    backend.write(
      words,
      Uint32Array.from({ length: 9 }, (_, i) => 0xfffffff0 + i),
    );
    const out = [new Float32Array(5), new Uint32Array(3), new Float32Array(21), new Float32Array(0)] as const;
    const readback = backend.readback();
    readback.add(floats, 13, out[0]);
    readback.add(words, 6, out[1]);
    backend.write(floats, Float32Array.of(100, 200));
    readback.add(floats, 0, out[2]);
    readback.add(floats, 21, out[3]);
    const arrival = readback.arrive();
    backend.write(words, new Uint32Array(9));
    backend.write(floats, new Float32Array(21));
    await arrival;
    expect([...out[0]]).toEqual([13.5, 14.5, 15.5, 16.5, 17.5]);
    expect([...out[1]]).toEqual([0xfffffff6, 0xfffffff7, 0xfffffff8]);
    expect([...out[2]]).toEqual([100, 200, ...Array.from({ length: 19 }, (_, i) => i + 2.5)]);
  });

  it("fits any number of bytes, and several may be on their way", async () => {
    const backend = await openBackend();
    const large = backend.createTensor("f32", [100_000]);
    backend.write(
      large,
      Float32Array.from({ length: 100_000 }, (_, i) => i),
    );
    const reads = [1, 2, 3].map((count) => {
      const outs = Array.from({ length: count }, () => new Float32Array(90_000));
      const readback = backend.readback();
      for (const [i, out] of outs.entries()) readback.add(large, 1000 * i, out);
      return { outs, arrival: readback.arrive() };
    });
    for (const { outs, arrival } of reads) {
      await arrival;
      expect(outs.map((out) => [out[0], out[89_999]])).toEqual(
        outs.map((_, i) => [1000 * i, 1000 * i + 89_999]),
      );
    }
    await backend.readback().arrive();
  });

  it("refuses an array of another type and elements that the tensor lacks", async () => {
    const backend = await openBackend();
    const tensor = backend.createTensor("f32", [4]);
    const readback = backend.readback();
    expect(() => readback.add(tensor, 0, new Uint32Array(4))).toThrow(
      "takes a Float32Array, not a Uint32Array",
    );
    for (const [first, count] of [
      [1, 4],
      [-1, 2],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const)
      expect(() => readback.add(tensor, first, new Float32Array(count))).toThrow(ShapeError);
  });
});
