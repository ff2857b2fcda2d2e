import { describe, expect, test } from "vitest";
import { memoryFolder, safetensorsFile } from "../../test/golden/memory-folder.ts";
import { ConfigError, EngineError, ModelFileError } from "../base/errors.ts";
import { openCheckpoint } from "./checkpoint.ts";

const SHARD = safetensorsFile({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4);
const FILES: Record<string, Uint8Array | string | object> = {
  "config.json": { model_type: "llama" },
  "generation_config.json": {},
  "tokenizer_config.json": {},
  "model.safetensors": SHARD,
};
const POINTER =
  "version https://git-lfs.github.com/spec/v1\n" +
  "oid sha256:5e3a5f2d8d0b8b7e0e0a9f6f5d7c7a35a6c1a1f4f8e3b9e0d4b2c1a0f9e8d7c6\nsize 269060552\n";
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));

/** Contents found in place of a file, and the words that the error must have. */
const FOREIGN: [string, Uint8Array | string, string[]][] = [
  ["a git-LFS pointer", POINTER, ["git-LFS pointer", "git lfs pull", "hf download"]],
  ["a git-LFS pointer with a byte-order mark", `\ufeff${POINTER}`, ["git-LFS pointer"]],
  ["a git-LFS pointer with CRLF", POINTER.replaceAll("\n", "\r\n"), ["git-LFS pointer"]],
  ["a git-xet pointer", '# xet version 0\nfilesize = 5\nhash = "ab"\n', ["git-xet pointer", "hf download"]],
  [
    "a git-annex pointer",
    "/annex/objects/SHA256E-s5--ab.safetensors\n",
    ["git-annex pointer", "git annex get"],
  ],
  ["a git-annex link as text", "../.git/annex/objects/Xx/Yy/SHA256E-s5--ab/SHA256E-s5--ab", ["git-annex"]],
  ["a symbolic link as text", "../../blobs/8f3b9e0d4b2c1a0f9e8d7c6", ["symbolic link", "cp -L"]],
  ["a web page", "<!DOCTYPE html>\n<html><head></head></html>", ["web page"]],
  ["a web page after white space", "\n\n  <html lang=en><body>Sign in</body></html>", ["web page"]],
  ["a bucket's error", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', ["XML answer"]],
  ["a hub's refusal", "Invalid credentials in Authorization header", ["server's refusal"]],
  ["a hub's other refusal", "Entry not found", ["server's refusal"]],
  ["nothing", "", ["empty (0 bytes)"]],
  ["zeros", new Uint8Array(4096), ["zeros", "cut off"]],
  ["a GGUF file", bytes("GGUF", [3, 0, 0, 0, 35, 1, 0, 0]), ["GGUF file", "its own path"]],
  ["a zip", bytes("PK", [3, 4, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0]), ["zip archive", "safetensors"]],
  ["a pickle", bytes([0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20]), ["pickle", "safetensors"]],
  ["gzip", bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), ["gzip"]],
  ["HDF5", bytes([0x89], "HDF\r\n", [0x1a, 0x0a]), ["HDF5"]],
];

const PLACES = [
  "config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "tokenizer.json",
  "model.safetensors",
  "model.safetensors.index.json",
];

describe.each(PLACES)("in place of %s", (place) => {
  test.each(FOREIGN)("%s is identified, with advice", async (_, content, messages) => {
    const { "model.safetensors": single, ...rest } = FILES;
    const others = place.endsWith("index.json") ? rest : { ...rest, "model.safetensors": single };
    const opening = openCheckpoint(memoryFolder({ ...others, [place]: content }));
    await expect(opening).rejects.toThrow(ModelFileError);
    for (const message of [`memory/${place}: it is `, ...messages])
      await expect(opening).rejects.toThrow(message);
  });
});

test("the error for a pointer in place of a shard names that shard", async () => {
  const { "model.safetensors": _, ...rest } = FILES;
  const map = { a: "s1.safetensors", b: "s2.safetensors" };
  const folder = memoryFolder({
    ...rest,
    "model.safetensors.index.json": { weight_map: map },
    "s1.safetensors": SHARD,
    "s2.safetensors": POINTER,
  });
  await expect(openCheckpoint(folder)).rejects.toThrow("memory/s2.safetensors: it is a git-LFS pointer");
  expect(folder.opened.size).toBe(0);
});

test("UTF-16 is identified; a byte-order mark before JSON is skipped", async () => {
  const utf16 = bytes([0xff, 0xfe], [...Buffer.from("{}", "utf16le")]);
  await expect(openCheckpoint(memoryFolder({ ...FILES, "config.json": utf16 }))).rejects.toThrow("UTF-16");
  const marked = memoryFolder({ ...FILES, "config.json": '\ufeff{"model_type":"llama"}' });
  expect((await openCheckpoint(marked)).config).toEqual({ model_type: "llama" });
});

test("NaN and Infinity, as Python writes them, are valid JSON", async () => {
  const config = '{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN, \\"Infinity", "d": -1}';
  expect((await openCheckpoint(memoryFolder({ ...FILES, "config.json": config }))).config).toEqual({
    a: "NaN",
    b: ["-Infinity", "Infinity"],
    c: 'NaN, "Infinity',
    d: -1,
  });
});

test.each<[string, string[], string[]]>([
  ["PyTorch's files", ["pytorch_model.bin"], ["pytorch_model.bin is PyTorch's pickle format", "safetensors"]],
  ["PyTorch's shards", ["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], ["pickle"]],
  ["a .pt file", ["model.pt"], ["model.pt is PyTorch's"]],
  ["GGUF files", ["SmolLM2-Q4_K_M.gguf"], ["SmolLM2-Q4_K_M.gguf is a GGUF file", "path of the file itself"]],
  ["ONNX", ["model.onnx"], ["model.onnx is an ONNX model"]],
  ["TensorFlow's weights", ["tf_model.h5"], ["tf_model.h5 is a format of another framework"]],
  ["an adapter", ["adapter_config.json", "adapter_model.safetensors"], ["adapter (LoRA)", "merge it"]],
  [
    "shards without an index",
    ["model-00001-of-00002.safetensors"],
    ["model.safetensors.index.json is missing"],
  ],
  ["an unfinished download", ["model.safetensors.incomplete"], ["has not ended"]],
  ["weights of another name", ["consolidated.safetensors"], ["consolidated.safetensors has not the name"]],
  ["nothing else", [], ["give the folder of a Hugging Face checkpoint"]],
])("the error for a folder with config.json and %s names the files and the alternative", async (_, names, messages) => {
  for (const canList of [true, false]) {
    const files = {
      "config.json": { model_type: "llama" },
      ...Object.fromEntries(names.map((name) => [name, "x"])),
    };
    const folder = memoryFolder(files);
    const listed = canList ? { ...folder, list: async () => Object.keys(files) } : folder;
    const opening = openCheckpoint(listed);
    await expect(opening).rejects.toThrow(ModelFileError);
    await expect(opening).rejects.toThrow("neither model.safetensors nor model.safetensors.index.json");
    const isFound =
      canList || names.some((name) => /^pytorch_model\.bin/.test(name) || name === "model.onnx");
    if (isFound) for (const message of messages) await expect(opening).rejects.toThrow(message);
    expect(folder.opened.size).toBe(0);
  }
});

test("the error for a missing config.json identifies the root of the hub's cache", async () => {
  for (const [names, message] of [
    [["blobs", "refs", "snapshots"], "snapshots/ and a commit's name"],
  ] as const) {
    const opening = openCheckpoint({ ...memoryFolder({}), list: async () => names });
    await expect(opening).rejects.toThrow("there is no config.json");
    await expect(opening).rejects.toThrow(message);
  }
});

test("quantization_config is checked before other files and the weights' headers", async () => {
  const folder = memoryFolder({
    ...FILES,
    "config.json": { quantization_config: { quant_method: "mxfp4" } },
    "tokenizer_config.json": POINTER,
    "model.safetensors": safetensorsFile({ a: { dtype: "F4", shape: [4], data_offsets: [0, 2] } }, 2),
  });
  await expect(openCheckpoint(folder)).rejects.toThrow(ConfigError);
  await expect(openCheckpoint(folder)).rejects.toThrow("quantised by MXFP4");
});

test.each([
  ["F4", [2, 4], 4],
  ["F6_E2M3", [4], 3],
  ["F6_E3M2", [4], 3],
  ["F8_E4M3", [4], 4],
  ["F8_E5M2", [4], 4],
  ["F8_E8M0", [4], 4],
  ["I8", [4], 4],
])("a tensor of dtype %s is located, without a weight dtype", async (dtype, shape, sizeBytes) => {
  const file = safetensorsFile({ a: { dtype, shape, data_offsets: [0, sizeBytes] } }, sizeBytes);
  const { tensors } = await openCheckpoint(memoryFolder({ ...FILES, "model.safetensors": file }));
  expect(tensors.get("a")).toMatchObject({ fileDtype: dtype, format: undefined, sizeBytes });
});

test("the error for an unknown dtype suggests a quantised checkpoint", async () => {
  const file = safetensorsFile({ a: { dtype: "F2", shape: [4], data_offsets: [0, 1] } }, 1);
  const opening = openCheckpoint(memoryFolder({ ...FILES, "model.safetensors": file }));
  await expect(opening).rejects.toThrow(EngineError);
  await expect(opening).rejects.toThrow('unknown dtype "F2"');
  await expect(opening).rejects.toThrow("quantised");
});

test.each<[string, string, Record<string, Uint8Array>]>([
  ["named", "named.gguf", { "config.json": Buffer.from("{}"), "named.gguf": SHARD }],
  ["alone in its folder", "m.gguf", { "m.gguf": SHARD }],
])("a safetensors file %s as .gguf is identified, with advice", async (how, path, files) => {
  const folder = { ...memoryFolder(files), list: async () => Object.keys(files) };
  const opening = openCheckpoint(how === "named" ? { ...folder, weightFile: path } : folder);
  await expect(opening).rejects.toThrow(
    `memory/${path}: it is a safetensors file under another name; name it model.safetensors and keep it beside its config.json`,
  );
});

test("a safetensors file in place of a text is identified", async () => {
  const opening = openCheckpoint(memoryFolder({ ...FILES, "config.json": SHARD }));
  await expect(opening).rejects.toThrow("memory/config.json: it is a safetensors file under another name");
});

test("a GGUF file named model.safetensors needs no config.json, and the error does not ask for one", async () => {
  const files = { "model.safetensors": bytes("GGUF", [3, 0, 0, 0, 35, 1, 0, 0]) };
  const folder = { ...memoryFolder(files), list: async () => Object.keys(files) };
  await expect(openCheckpoint(folder)).rejects.toThrow(
    "beside its weights; model.safetensors is a GGUF file under another name; name it model.gguf and give its own path",
  );
});

test("weights that were named need a config.json, whatever else the folder has", async () => {
  const files = { "a.gguf": bytes("GGUF"), "other.safetensors": SHARD };
  const folder = { ...memoryFolder(files), list: async () => Object.keys(files) };
  await expect(openCheckpoint({ ...folder, weightFile: "other.safetensors" })).rejects.toThrow(
    "there is no config.json beside its weights; download it too",
  );
});
