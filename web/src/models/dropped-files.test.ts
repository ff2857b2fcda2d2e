import { expect, test } from "vitest";
import { groupFiles } from "./dropped-files.ts";

const files = (...names: string[]) => names.map((name) => ({ name }));
const namesOf = (list: readonly { name: string }[]) => list.map(({ name }) => name);

test("a GGUF file is a model by itself, and its parts are taken with it", () => {
  expect(groupFiles(files("notes.txt", "SmolLM2.Q4_K_M.gguf"))).toEqual({
    name: "SmolLM2.Q4_K_M",
    used: [{ name: "SmolLM2.Q4_K_M.gguf" }],
  });
  const parts = files("big-00001-of-00002.gguf", "other.gguf", "big-00002-of-00002.gguf");
  const { name, used } = groupFiles(parts);
  expect(name).toBe("big");
  expect(namesOf(used)).toEqual(["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]);
});

test("safetensors need their config and tokenizer, and have the name of their folder", () => {
  const folder = ["config.json", "tokenizer.json", "model.safetensors"].map((name) => ({
    name,
    webkitRelativePath: `Qwen3-0.6B/${name}`,
  }));
  expect(groupFiles(folder)).toEqual({ name: "Qwen3-0.6B", used: folder });
  expect(() => groupFiles(files("model.safetensors"))).toThrow("config.json and tokenizer.json");
  expect(() => groupFiles(files("model.safetensors", "config.json"))).toThrow("tokenizer.json");
  expect(() => groupFiles(files("photo.png"))).toThrow("photo.png");
});
