import { expect, test } from "vitest";
import { memoryFolder, safetensorsFile } from "../../test/golden/memory-folder.ts";
import { ModelFileError } from "../base/errors.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { scanWeights } from "./scan-weights.ts";

const one = (name: string, dtype = "F32") =>
  safetensorsFile({ [name]: { dtype, shape: [1], data_offsets: [0, 4] } }, 4);
const index = (map: unknown) => ({ metadata: { total_size: 8 }, weight_map: map });
const SHARDS = {
  "config.json": { model_type: "llama" },
  "model.safetensors.index.json": index({ a: "s1.safetensors", b: "s2.safetensors" }),
  "s1.safetensors": one("a"),
  "s2.safetensors": one("b"),
};

test("a folder of shards opens with every tensor in its file; close closes every file", async () => {
  const folder = memoryFolder(SHARDS);
  const checkpoint = await openCheckpoint(folder);
  expect([...checkpoint.tensors].map(([name, { source }]) => [name, source.name])).toEqual([
    ["a", "memory/s1.safetensors"],
    ["b", "memory/s2.safetensors"],
  ]);
  expect(checkpoint.files).toEqual(["s1.safetensors", "s2.safetensors"]);
  expect(checkpoint.config).toEqual({ model_type: "llama" });
  expect(checkpoint.tokenizer).toBeUndefined();
  expect(checkpoint.chatTemplate).toBeUndefined();
  expect(checkpoint.generationConfig.temperature).toBe(0);
  expect([...folder.opened]).toEqual(["s1.safetensors", "s2.safetensors"]);
  await checkpoint.close();
  await checkpoint.close();
  expect(folder.opened.size).toBe(0);
});

test("generation values come from config.json only if there is no generation_config.json", async () => {
  const config = {
    model_type: "llama",
    max_length: 55,
    eos_token_id: 254,
    do_sample: true,
    temperature: 5,
    sparse_attention: {},
  };
  const open = async (files: object) =>
    (await openCheckpoint(memoryFolder({ ...SHARDS, "config.json": config, ...files }))).generationConfig;
  expect(await open({})).toMatchObject({
    maxLength: 55,
    eosTokenIds: [254],
    temperature: 5,
    attention: undefined,
  });
  expect(await open({ "generation_config.json": {} })).toMatchObject({
    maxLength: undefined,
    eosTokenIds: undefined,
    temperature: 0,
  });
});

test("model.safetensors takes precedence over an index, as in transformers", async () => {
  const checkpoint = await openCheckpoint(memoryFolder({ ...SHARDS, "model.safetensors": one("c") }));
  expect([...checkpoint.tensors.keys()]).toEqual(["c"]);
});

test("a checkpoint opens without tensors that the index names and no file has, and lists them", async () => {
  const map = { a: "s1.safetensors", b: "s1.safetensors", z: "s2.safetensors" };
  const folder = memoryFolder({ ...SHARDS, "model.safetensors.index.json": index(map) });
  const checkpoint = await openCheckpoint(folder);
  expect([...checkpoint.tensors.keys()]).toEqual(["a"]);
  expect([...checkpoint.promised]).toEqual([
    ["b", "s1.safetensors"],
    ["z", "s2.safetensors"],
  ]);
});

test("the index decides between two shards that hold the same tensor", async () => {
  const both = safetensorsFile(
    {
      a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
      b: { dtype: "F32", shape: [1], data_offsets: [4, 8] },
    },
    8,
  );
  const checkpoint = await openCheckpoint(memoryFolder({ ...SHARDS, "s2.safetensors": both }));
  expect(checkpoint.tensors.get("a")?.source.name).toBe("memory/s1.safetensors");
});

test.each<[string, Record<string, Uint8Array | string | object>, string]>([
  ["an empty folder", {}, "there is no config.json"],
  ["no weights", { "config.json": {} }, "neither model.safetensors nor model.safetensors.index.json"],
  ["a config that is no JSON", { "config.json": "{" }, "memory/config.json: not valid JSON"],
  ["a config that is a list", { "config.json": [] }, "memory/config.json: expected a JSON object, got []"],
  [
    "a config that is no UTF-8",
    { "config.json": new Uint8Array([0xff]) },
    "memory/config.json: not valid UTF-8",
  ],
  [
    "a tokenizer that is none",
    { ...SHARDS, "tokenizer.json": {} },
    "memory/tokenizer.json: its contents make no tokenizer",
  ],
  [
    "an index without a map",
    { ...SHARDS, "model.safetensors.index.json": {} },
    "expected an object weight_map",
  ],
  [
    "a shard that is not there",
    { ...SHARDS, "model.safetensors.index.json": index({ a: "s3.safetensors" }) },
    "names s3.safetensors, but there is no such file",
  ],
  [
    "a damaged shard",
    { ...SHARDS, "s2.safetensors": new Uint8Array(3) },
    "memory/s2.safetensors: expected at least 8 bytes",
  ],
  ...[
    "../x.safetensors",
    "/etc/x.safetensors",
    "a/b.safetensors",
    "..\\x.safetensors",
    "C:x.safetensors",
    "x.bin",
    7,
    "",
  ].map((file): [string, Record<string, Uint8Array | string | object>, string] => [
    `a shard named ${JSON.stringify(file)}`,
    { ...SHARDS, "model.safetensors.index.json": index({ a: file }) },
    "must be in a .safetensors file of the same folder",
  ]),
])("%s is a ModelFileError, and no file stays open", async (_, files, message) => {
  const folder = memoryFolder(files);
  const opening = openCheckpoint(folder);
  await expect(opening).rejects.toThrow(ModelFileError);
  await expect(opening).rejects.toThrow(message);
  expect(folder.opened.size).toBe(0);
});

test("scanWeights counts NaN and infinite values of every weight dtype, across reads", async () => {
  const length = 3 << 20;
  const big = new Float32Array(length);
  big[0] = Number.NaN;
  big[length - 1] = Number.NEGATIVE_INFINITY;
  big[1 << 20] = Number.POSITIVE_INFINITY;
  const halves = new Uint16Array([0x7e00, 0x7c00, 0x3c00, 0xfc00]); // f16: NaN, inf, 1, -inf
  const brains = new Uint16Array([0x7fc0, 0x7f80, 0x3f80, 0x7f7f]); // bf16: NaN, inf, 1, the largest
  const data = new Uint8Array(length * 4 + 24);
  data.set(new Uint8Array(big.buffer));
  data.set(new Uint8Array(halves.buffer), length * 4);
  data.set(new Uint8Array(brains.buffer), length * 4 + 8);
  const at = length * 4;
  const file = safetensorsFile(
    {
      big: { dtype: "F32", shape: [length], data_offsets: [0, at] },
      half: { dtype: "F16", shape: [4], data_offsets: [at, at + 8] },
      brain: { dtype: "BF16", shape: [4], data_offsets: [at + 8, at + 16] },
      ids: { dtype: "I64", shape: [1], data_offsets: [at + 16, at + 24] },
    },
    data,
  );
  const checkpoint = await openCheckpoint(memoryFolder({ "config.json": {}, "model.safetensors": file }));
  expect(await scanWeights(checkpoint)).toEqual([
    { tensor: "big", nan: 1, infinite: 2 },
    { tensor: "half", nan: 1, infinite: 2 },
    { tensor: "brain", nan: 1, infinite: 1 },
  ]);
});

test("a checkpoint with an invalid template opens, and throws when a chat is rendered", async () => {
  const { chatTemplate } = await openCheckpoint(
    memoryFolder({ ...SHARDS, "chat_template.jinja": "{% if %}" }),
  );
  expect(() => chatTemplate?.([{ role: "user", content: "hi" }])).toThrow(
    "memory/chat_template.jinja cannot be used",
  );
});
