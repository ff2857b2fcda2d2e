import { describe, expect, test } from "vitest";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { type BrowserEngineOptions, openEngine } from "./index.ts";

const FOLDER = "/models/pico-reasoner";
const FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
const ids = Array.from({ length: 48 }, (_, i) => 20 + ((i * 37) % 200));

async function greedy(model: BrowserEngineOptions["model"]): Promise<readonly number[]> {
  const engine = await openEngine({ model, backend: "wasm", contextLength: 256 });
  const request = { tokenIds: ids, maxTokens: 20, ignoreEos: true, temperature: 0 };
  const { tokenIds } = await engine.generate(request).result();
  await engine.close();
  return tokenIds;
}

async function chosenFiles(): Promise<File[]> {
  const blobs = FILES.map(async (name) => new File([await (await fetch(`${FOLDER}/${name}`)).blob()], name));
  return Promise.all(blobs);
}

describe("openEngine in a browser", () => {
  test("gives the same tokens from a path, a URL, files and a FileList", async () => {
    const expected = await greedy(FOLDER);
    expect(expected).toHaveLength(20);
    expect(await greedy(new URL(`${FOLDER}/`, location.href))).toEqual(expected);
    const files = await chosenFiles();
    expect(await greedy(files)).toEqual(expected);
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    expect(await greedy(transfer.files)).toEqual(expected);
  });

  test.each<[string, unknown, string]>([
    ["no model", undefined, "got nothing"],
    ["no files", [], "got an empty list of files"],
    ["a broken address", "http://", '"http://" is no URL'],
  ])("%s is a ConfigError that names it", async (_, model, message) => {
    const opened = openEngine({ model: model as string });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });

  test.each<[string, BrowserEngineOptions["model"], string]>([
    ["a missing folder", "/models/nobody", "/models/nobody"],
    ["files of something else", [new File(["x"], "notes.txt")], "config.json"],
    ["an unreachable server", "http://127.0.0.1:1/model", "check the address and the network"],
  ])("%s is a ModelFileError that names it", async (_, model, message) => {
    const opened = openEngine({ model });
    await expect(opened).rejects.toThrow(ModelFileError);
    await expect(opened).rejects.toThrow(message);
  });
});
