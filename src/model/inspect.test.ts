import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { memorySource } from "../../test/golden/memory-folder.ts";
import { ModelFileError } from "../base/errors.ts";
import type { FileFolder } from "../load/byte-source.ts";
import { openFileFolder } from "../node/index.ts";
import { inspectFolder } from "./inspect.ts";

const path = fileURLToPath(new URL("../../models/pico-reasoner", import.meta.url));

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
