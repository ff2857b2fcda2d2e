import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { memorySource } from "../test/golden/memory-folder.ts";
import { ModelFileError } from "./base/errors.ts";
import { inspectFolder } from "./inspect.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { openFileFolder } from "./node/index.ts";

const path = fileURLToPath(new URL("../models/pico-reasoner", import.meta.url));

/** The bundled model with other values in its config. */
async function withConfig(values: object): Promise<FileFolder> {
  const folder = await openFileFolder(path);
  const config = { ...JSON.parse(readFileSync(`${path}/config.json`, "utf8")), ...values };
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  return {
    ...folder,
    open: async (file) => (file === "config.json" ? memorySource(bytes) : folder.open(file)),
  };
}

test.each<[string, object, string]>([
  [
    "a shape that disagrees",
    { intermediate_size: 100 },
    "has shape [640,256], but config.json asks for [100,256]",
  ],
  [
    "a layer that is missing",
    { num_hidden_layers: 11 },
    '"model.layers.10.input_layernorm.weight" is missing',
  ],
  ["a layer too many", { num_hidden_layers: 9 }, "is of layer 9, but config.json has num_hidden_layers 9"],
])("%s is found from the headers, without loading", async (_, values, message) => {
  const inspected = inspectFolder(await withConfig(values));
  await expect(inspected).rejects.toThrow(ModelFileError);
  await expect(inspected).rejects.toThrow(message);
});

test("NaN and infinity in the weights are counted by tensor", async () => {
  const bytes = new Uint8Array(readFileSync(`${path}/model.safetensors`));
  bytes.set([0xc0, 0x7f, 0x80, 0xff], bytes.length - 4); // bf16 NaN, then -Infinity
  const folder = await openFileFolder(path);
  const damaged: FileFolder = {
    ...folder,
    open: async (file) => (file === "model.safetensors" ? memorySource(bytes) : folder.open(file)),
  };
  const { problems } = await inspectFolder(damaged, { scanWeights: true });
  expect(problems).toEqual([{ tensor: expect.any(String), nan: 1, infinite: 1 }]);
});

test("bytes of the cache follow its dtype, bounds of pages stay f32", async () => {
  const inspect = async (cacheDtype: "f16" | "f32") =>
    inspectFolder(await openFileFolder(path), { attention: "quest:budget=256,dense-layers=0", cacheDtype });
  const [half, full] = [await inspect("f16"), await inspect("f32")];
  // 10 layers of 2 kv heads of 64 channels
  expect([half.kvBytesPerToken, full.kvBytesPerToken]).toEqual([2 * 2 * 1280, 2 * 4 * 1280]);
  expect((await inspectFolder(await openFileFolder(path))).cacheDtype).toBe("f16");
  // at 1024 tokens: 8 query heads, 4 a kv head, each with 256 tokens of its own; bounds of 64 pages
  const bounds = 64 * 2 * 4 * 1280;
  expect(half.attention.reads[0]).toEqual({
    context: 1024,
    kvBytes: 4 * 256 * 5120 + bounds,
    attendedFraction: 1 + bounds / (1024 * 5120),
  });
  expect(full.attention.reads[0]?.kvBytes).toBe(4 * 256 * 10240 + bounds);
});

test("layers with windows and with experts are listed", async () => {
  const golden = async (name: string) => {
    const folder = await openFileFolder(fileURLToPath(new URL(`../test/golden/hf/${name}`, import.meta.url)));
    return inspectFolder(folder);
  };
  const local = await golden("gemma3-local");
  expect(local.slidingWindow).toEqual({ tokens: 20, layers: [0, 1, 3] });
  expect(local).not.toHaveProperty("experts");
  expect(local.rope).toBe("linear, theta 1000000; default, theta 10000");
  const mixed = await golden("qwen3-moe");
  const sizes = { numExperts: 6, topExperts: 2, intermediateSize: 16, isNormalised: true };
  expect(mixed.experts).toEqual({ ...sizes, layers: [0, 2, 3] });
  expect(mixed).not.toHaveProperty("slidingWindow");
  expect((await golden("phi3-longrope")).rope).toBe("longrope, theta 10000, 12 of 16 elements");
});
