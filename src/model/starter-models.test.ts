import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { openCheckpoint } from "../load/checkpoint.ts";
import { openFileFolder } from "../node/file-folder.ts";
import { parseModelConfig } from "./config.ts";
import { decoderBytes, suggestModels } from "./starter-models.ts";

test("the formula of the weights counts the bytes of a checkpoint", async () => {
  const checkpoint = await openCheckpoint(await openFileFolder(repositoryPath("models/pico-reasoner")));
  const config = parseModelConfig(checkpoint.config, "config.json");
  const formats = new Set([...checkpoint.tensors.values()].map(({ format }) => format));
  const bytes = [...checkpoint.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  await checkpoint.close();
  expect(formats).toEqual(new Set(["bf16"]));
  expect(decoderBytes(config, () => "bf16", "bf16")).toBe(bytes);
});

// The parameters that the models' pages and papers name, a tied matrix counted once.
test.each([
  ["HuggingFaceTB/SmolLM2-135M-Instruct", 134.5e6],
  ["HuggingFaceTB/SmolLM2-360M-Instruct", 361.8e6],
  ["HuggingFaceTB/SmolLM2-1.7B-Instruct", 1711e6],
  ["HuggingFaceTB/SmolLM3-3B", 3075e6],
  ["Qwen/Qwen3-4B", 4022e6],
  ["Qwen/Qwen3-8B", 8190e6],
  ["Qwen/Qwen3-14B", 14_768e6],
  ["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1777e6],
  ["deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", 7616e6],
])("%s has the parameters that its page names, within 0.1 %%", (name, parameters) => {
  const found = suggestModels().find((model) => model.name === name)?.parameters ?? 0;
  expect(Math.abs(found / parameters - 1)).toBeLessThan(1e-3);
});

// Sizes of published files in gigabytes, to two digits, with metadata and a vocabulary of 2 to 8 MB.
test.each([
  ["hf:Qwen/Qwen3-0.6B-GGUF:Q8_0", 0.64],
  ["hf:Qwen/Qwen3-1.7B-GGUF:Q8_0", 1.83],
  ["hf:ggml-org/SmolLM3-3B-GGUF:Q4_K_M", 1.92],
  ["hf:Qwen/Qwen3-4B-GGUF:Q4_K_M", 2.5],
  ["hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", 5.03],
])("%s has a file of %f GB: the weights, and 15 MB at most besides", (name, gigabytes) => {
  const found = suggestModels().find((model) => model.name === name);
  const rest = gigabytes * 1e9 - (found?.weightBytes ?? 0);
  expect(Math.abs(rest - 5e6)).toBeLessThan(10e6);
  expect(found).toMatchObject({ q8WeightBytes: undefined, wasRun: undefined });
});

test("selection layers are the paper's where it names some", () => {
  const layers = new Map(
    suggestModels().map((model) => [model.name, [model.selectionLayers, model.selectionLayersFrom]]),
  );
  expect(layers.get("Qwen/Qwen3-8B")).toEqual([[2, 12], "paper"]);
  expect(layers.get("Qwen/Qwen3-4B")).toEqual([[2, 20], "paper"]);
  expect(layers.get("Qwen/Qwen3-0.6B")?.[1]).toBe("guess");
});

test("docs/models.md has a row for each, with the same numbers", () => {
  const text = readFileSync(repositoryPath("docs/models.md"), "utf8");
  const rows = (text.split("## Models to begin with")[1] ?? "")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const gigabytes = (bytes: number | undefined) => (bytes === undefined ? "–" : (bytes / 1e9).toFixed(2));
  const from = { paper: "the paper", guess: "a guess", request: "", checkpoint: "" };
  expect(rows).toEqual(
    suggestModels().map((model) => {
      const isGguf = model.format.startsWith("GGUF");
      const memory = model.memory.map(({ bytes, q8Bytes }) =>
        isGguf ? gigabytes(bytes) : `${gigabytes(bytes)} / ${gigabytes(q8Bytes)}`,
      );
      const layers = `${model.selectionLayers.join(", ")} (${from[model.selectionLayersFrom as keyof typeof from]})`;
      const cells = [
        `\`${model.name}\``,
        model.licence,
        gigabytes(model.weightBytes),
        ...memory,
        layers,
        model.wasRun ?? "no",
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  );
});
