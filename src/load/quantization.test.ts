import { expect, test } from "vitest";
import { refuseQuantized } from "./quantization.ts";

const quantised = { quantization_config: { quant_method: "awq", bits: 4 } };

test.each<[string, object, string]>([
  ["Qwen3-8B", {}, "/home/me/Qwen3-8B-AWQ/config.json"],
  ["Qwen3-8B", {}, `/cache/models--Qwen--Qwen3-8B-FP8/snapshots/${"a".repeat(40)}/config.json`],
  ["Llama-3.1-8B-Instruct", {}, "org/Llama-3.1-8B-Instruct-GPTQ-Int4@0123abcd/config.json"],
  ["Qwen3-4B", {}, "unsloth/Qwen3-4B-bnb-4bit@0123abcd/config.json"],
  ["org/base", { base_model: "org/base" }, "any/config.json"],
  ["org/base", { _name_or_path: "org/base" }, "any-w4a16/config.json"],
])("a quantised checkpoint is refused with the name %s to take instead", (base, more, fileName) => {
  const refusing = () => refuseQuantized({ ...quantised, ...more }, fileName);
  expect(refusing).toThrow(
    new RegExp(`before quantisation \\((by the name, )?${base}\\), .*dtype q8 or q4.*GGUF`),
  );
});

test("a name that says nothing is not guessed from", () => {
  expect(() => refuseQuantized(quantised, "folder/config.json")).toThrow("before quantisation, and open it");
});
