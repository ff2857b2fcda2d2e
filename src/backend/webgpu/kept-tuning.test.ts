import { describe, expect, it } from "vitest";
import type { DeviceTraits } from "./device-traits.ts";
import { keepTuning, readKeptTuning } from "./kept-tuning.ts";
import { choicesOf, tunedSizesOf } from "./tuned-sizes.ts";
import { tuningFor } from "./tuning.ts";

/** A large GPU. */
const TRAITS: DeviceTraits = {
  ...{ minSubgroupSize: 32, maxSubgroupSize: 32, maxInvocations: 1024, workgroupBytes: 49152 },
  ...{ bindingBytes: 2 ** 31, storageBuffers: 16, forwardProgress: "ordered-launch", isSoftware: false },
  ...{ hasF16: true, hasPackedDot: true, hasImmediates: true, subgroupMatrix: { m: 16, n: 16, k: 16 } },
};
const USUAL = tuningFor(TRAITS);

const storeWith = (text: string | undefined) => ({
  machine: "a test",
  read: async () => text,
  write: async () => {},
});
const read = (kept: unknown) => readKeptTuning(storeWith(JSON.stringify(kept)), "a card", TRAITS);

describe("kept sizes of kernels", () => {
  it("come back as they were kept", async () => {
    const tuning = { attendTokens: 2, narrowTile: { ...USUAL.narrowTile, slices: 8 } };
    let text: string | undefined;
    await keepTuning(
      {
        ...storeWith(undefined),
        write: async (_, given) => {
          text = given;
        },
      },
      "a card",
      tuning,
    );
    expect(await readKeptTuning(storeWith(text), "a card", TRAITS)).toEqual(tuning);
    expect(await readKeptTuning(storeWith(text), "another card", TRAITS)).toBeUndefined();
  });

  it.each([
    ["of no size", { key: "a card", tuning: { attendTokens: 0 } }],
    ["of a size that no kernel has", { key: "a card", tuning: { attendTokens: 1e9 } }],
    ["of text", { key: "a card", tuning: { attendTokens: "2" } }],
    ["of an unknown name", { key: "a card", tuning: { tokens: 2 } }],
    ["of half a tile", { key: "a card", tuning: { narrowTile: { w: 16 } } }],
    ["of a number in place of a tile", { key: "a card", tuning: { narrowTile: 16 } }],
    ["of nothing", { key: "a card", tuning: null }],
    ["without sizes", { key: "a card" }],
    ["of a text", "tuning"],
  ])("%s are not taken", async (_, kept) => {
    expect(await read(kept)).toBeUndefined();
  });

  it("of a store that fails, has none, or has other text are none", async () => {
    const failing = { ...storeWith(undefined), read: () => Promise.reject(new Error("no disk")) };
    for (const store of [undefined, failing, storeWith(undefined), storeWith("{")])
      expect(await readKeptTuning(store, "a card", TRAITS)).toBeUndefined();
  });
});

describe("variants of kernels to time", () => {
  const names = (traits: DeviceTraits) => tunedSizesOf(traits).map(({ name }) => name);

  it("differ from the sizes they stand beside, each in what it is named for", () => {
    for (const { name, variants } of tunedSizesOf(TRAITS)) {
      const all = variants(USUAL);
      expect(all.length, name).toBeGreaterThan(1);
      for (const variant of all) {
        expect(Object.keys(variant)).toEqual([name]);
        expect(choicesOf(variant)).not.toEqual(choicesOf({ [name]: Reflect.get(USUAL, name) }));
      }
      expect(new Set(all.map((variant) => JSON.stringify(variant))).size, name).toBe(all.length);
    }
  });

  it("are those of what a device has", () => {
    expect(names(TRAITS)).toContain("layerRows");
    expect(names(TRAITS)).toContain("narrowTile");
    const { forwardProgress: _, ...less } = TRAITS;
    const small = { ...less, forwardProgress: undefined, subgroupMatrix: undefined, maxInvocations: 256 };
    expect(names(small)).not.toContain("layerRows");
    expect(names(small)).not.toContain("narrowTile");
    const threads = tunedSizesOf(small).find(({ name }) => name === "attendThreads");
    expect(threads?.variants(USUAL)).toEqual([{ attendThreads: 64 }, { attendThreads: 128 }]);
  });
});
