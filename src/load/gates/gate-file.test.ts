/** Files of gates: both forms, faults by name, and damage at random. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Random } from "../../../test/conformance/random-weights.ts";
import { memoryFolder } from "../../../test/golden/memory-folder.ts";
import { repositoryPath } from "../../../test/golden/open-fixture.ts";
import { EngineError } from "../../base/errors.ts";
import { type GatedModel, openGateFile } from "./gate-file.ts";

const QWEN2: GatedModel = { numLayers: 4, numQueryHeads: 6, numKvHeads: 2, headDim: 16 };
const QWEN3: GatedModel = { numLayers: 3, numQueryHeads: 8, numKvHeads: 1, headDim: 18 };
const PTH = "attn_gate_weights.pth";
const SAFETENSORS = "seer-attention-gates.safetensors";

const read = async (path: string) =>
  new Uint8Array(await readFile(repositoryPath(`test/golden/seer/${path}`)));
const pth = await read(`qwen2-bias/${PTH}`);
const config = await read("qwen2-bias/config.json");
const safetensors = await read(`qwen3-group8/${SAFETENSORS}`);

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test("a .pth file beside its config.json: f16 weights without norms, from layer 1 on", async () => {
  const file = await openGateFile(memoryFolder({ [PTH]: pth, "config.json": config }), QWEN2);
  expect(file).toMatchObject({ blockSize: 16, gateDim: 12, usesRope: true, startLayer: 1 });
  const { q, k, qNorm, kNorm } = await file.read(3);
  expect([q.length, k.length, qNorm, kNorm]).toEqual([6 * 16 * 12, 2 * 48 * 12, undefined, undefined]);
  const [, { last_layer: expected }] = JSON.parse(new TextDecoder().decode(await read("golden.json")));
  const ends = (values: Float32Array) => [...values.subarray(0, 2), ...values.subarray(-2)];
  expect({ q: ends(q), k: ends(k) }).toEqual(expected);
});

test("a .safetensors file says itself what it is: bf16 weights with norms", async () => {
  const file = await openGateFile(memoryFolder({ [SAFETENSORS]: safetensors }), QWEN3);
  expect(file).toMatchObject({ blockSize: 16, gateDim: 32, usesRope: true, startLayer: 0 });
  const { q, k, qNorm, kNorm } = await file.read(0);
  expect([q.length, k.length, qNorm?.length, kNorm?.length]).toEqual([8 * 18 * 32, 54 * 32, 32, 32]);
});

describe("what is wrong is named", () => {
  const fields = JSON.parse(new TextDecoder().decode(config)) as Record<string, unknown>;
  const withField = (name: string, value: unknown) => ({
    [PTH]: pth,
    "config.json": json({ ...fields, [name]: value }),
  });
  test.each<[string, Readonly<Record<string, Uint8Array>>, Partial<GatedModel>, RegExp]>([
    [
      "no gate",
      { "config.json": config },
      {},
      /neither seer-attention-gates\.safetensors.* nor attn_gate_weights\.pth/,
    ],
    ["no config", { [PTH]: pth }, {}, /expected seerattn_gate_block_size .*got undefined.*config\.json/],
    [
      "a block of half a token",
      withField("seerattn_gate_block_size", 0.5),
      {},
      /seerattn_gate_block_size.*0\.5/,
    ],
    ["another pooling", withField("seerattn_k_seq_pooling_type", "Kavg"), {}, /"Kavg"; only Kmaxminavg/],
    ["pooled queries", withField("seerattn_q_head_pooling_type", "Qavgproj"), {}, /only Qproj/],
    [
      "norms that are not there",
      withField("seerattn_use_qk_norm", true),
      {},
      /layers\.1\..*qnorm\.weight is missing/,
    ],
    [
      "another size",
      withField("seerattn_gate_hidden_size", 128),
      {},
      /expected gates of 128 elements, got 12/,
    ],
    ["a start after the last layer", withField("seerattn_start_layer", 4), {}, /start_layer.*from 0 to 3/],
    [
      "a start before the first gate",
      withField("seerattn_start_layer", 0),
      {},
      /there is no model\.layers\.0/,
    ],
    [
      "a model of other heads",
      { [PTH]: pth, "config.json": config },
      { headDim: 32 },
      /belongs to another model/,
    ],
    [
      "a model of fewer layers",
      { [PTH]: pth, "config.json": config },
      { numLayers: 3 },
      /has a gate of layer 3/,
    ],
    [
      "a model of more layers",
      { [PTH]: pth, "config.json": config },
      { numLayers: 5 },
      /layers\.4\..* is missing/,
    ],
    ["no ZIP file", { [PTH]: config, "config.json": config }, {}, /it has no directory/],
    [
      "half a file",
      { [PTH]: pth.slice(0, pth.length / 2), "config.json": config },
      {},
      /it has no directory/,
    ],
  ])("%s", async (_, files, model, message) => {
    await expect(openGateFile(memoryFolder(files), { ...QWEN2, ...model })).rejects.toThrow(message);
    await expect(openGateFile(memoryFolder(files), { ...QWEN2, ...model })).rejects.toBeInstanceOf(
      EngineError,
    );
  });
});

test("NaN in a weight is an error of its tensor", async () => {
  const damaged = safetensors.slice();
  damaged.fill(0xff, damaged.length - 64); // the last tensor
  const file = await openGateFile(memoryFolder({ [SAFETENSORS]: damaged }), QWEN3);
  const reading = Promise.all([0, 1, 2].map((layer) => file.read(layer)));
  await expect(reading).rejects.toThrow(/holds NaN or infinity/);
});

test.each([
  ["a .pth file", pth, PTH, QWEN2],
  ["a .safetensors file", safetensors, SAFETENSORS, QWEN3],
] as const)("%s with damage at random opens or is an error of the engine, 600 times", async (_, bytes, name, model) => {
  const random = new Random(7);
  let refused = 0;
  for (let run = 0; run < 600; run++) {
    const damaged = damage(bytes, random);
    try {
      const file = await openGateFile(memoryFolder({ [name]: damaged, "config.json": config }), model);
      for (let layer = file.startLayer; layer < model.numLayers; layer++) await file.read(layer);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(100);
});

/** Changes, repeats, cuts out or inserts bytes at places that favour the ends, where directories and headers are. */
function damage(bytes: Uint8Array, random: Random): Uint8Array {
  const place = () => {
    const from = random.below(3) === 0 ? 0 : bytes.length - Math.min(bytes.length, 6000);
    const span = random.below(4) === 0 ? bytes.length - from : 3000;
    return Math.min(bytes.length - 1, from + random.below(span));
  };
  const changed = bytes.slice();
  for (let i = 0; i <= random.below(4); i++)
    changed[place()] = [0, 0xff, random.below(256)][random.below(3)] ?? 0;
  const at = place();
  const length = 1 + random.below(16);
  switch (random.below(4)) {
    case 0:
      return Uint8Array.from([...changed.subarray(0, at), ...changed.subarray(at + length)]);
    case 1:
      return Uint8Array.from([
        ...changed.subarray(0, at),
        ...changed.subarray(at, at + length),
        ...changed.subarray(at),
      ]);
    default:
      return changed;
  }
}
