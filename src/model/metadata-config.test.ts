import { expect, test } from "vitest";
import { field } from "../../test/golden/gguf-file.ts";
import { memoryFolder } from "../../test/golden/memory-folder.ts";
import { type TinyChanges, tinyGguf } from "../../test/golden/tiny-gguf.ts";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { openCheckpoint } from "../load/checkpoint.ts";
import { demandOf } from "../model-demand.ts";
import { readModelConfig } from "./config.ts";

async function configOf(metadata: TinyChanges["metadata"] = {}) {
  const folder = memoryFolder({ "m.gguf": tinyGguf({ metadata }) });
  return readModelConfig(await openCheckpoint({ ...folder, weightFile: "m.gguf" }));
}

test("a value that the config refuses is a fault of the file, under its own key", async () => {
  const failing = configOf({ "llama.block_count": field.u32(1_000_000) });
  await expect(failing).rejects.toThrow(ModelFileError);
  await expect(failing).rejects.toThrow(/m\.gguf.*num_hidden_layers is llama\.block_count in the file/);
});

test("a context that is too long names the file's key, not a config.json that it has not", async () => {
  const config = await configOf();
  const asking = () => demandOf(config, [], { contextLength: 100 });
  expect(asking).toThrow(ConfigError);
  expect(asking).toThrow(/64 positions .*\(its llama\.context_length\)/);
});

test("a folder's config.json stays a ConfigError", () => {
  const checkpoint = { config: { model_type: "llama", hidden_size: 0 }, configName: "f/config.json" };
  expect(() => readModelConfig(checkpoint)).toThrow(ConfigError);
});
