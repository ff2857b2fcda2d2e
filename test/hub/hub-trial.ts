/** A hub with a few models, a cache, and what tests of both ask. */
import { createCipheriv, createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import type { OpenedModel } from "../../src/load/hub/pull-model.ts";
import { type OpenModelOptions, openModel } from "../../src/node/hub/open-model.ts";
import { gitHash, LocalHub } from "./local-hub.ts";

const MEGABYTE = 1 << 20;
/** Pseudo-random bytes: no two ranges are alike. */
const big = (length: number) =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(length));
export const WEIGHTS = new Uint8Array(big(9 * MEGABYTE + 12345));
export const CHECKPOINT = {
  "config.json": '{"model_type":"x"}',
  "tokenizer.json": "{}",
  "README.md": "# read me",
  "pytorch_model.bin": "pickle",
  "onnx/model.onnx": "onnx",
  "model.safetensors": WEIGHTS,
};

/** Those of the test that runs. */
export let hub: LocalHub;
export let cache: string;
let address: string;
beforeEach(async () => {
  hub = await LocalHub.start({
    "org/model": { files: CHECKPOINT, revisions: ["v1", "refs/pr/4"] },
    "org/parts": {
      files: {
        "m-Q4_0-00001-of-00002.gguf": "one",
        "m-Q4_0-00002-of-00002.gguf": "two",
        "Q8_0/m-Q8_0.gguf": "eight",
        "mmproj-Q8_0.gguf": "eyes",
      },
    },
    "org/shards": {
      files: {
        "config.json": "{}",
        "model.safetensors.index.json": JSON.stringify({
          weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
        }),
        "model-00001-of-00002.safetensors": "first",
        "model-00002-of-00002.safetensors": "second",
        "consolidated.safetensors": "another format's",
      },
    },
    "org/empty-file": { files: { "config.json": "{}", "chat_template.jinja": "", "model.safetensors": "w" } },
  });
  address = hub.url;
  cache = mkdtempSync(join(tmpdir(), "lessismore-hub-"));
});
afterEach(() => {
  hub.close();
  rmSync(cache, { recursive: true });
});

/** Opens a model with the hub and cache of the test. */
export function open(
  text: string,
  environment: Record<string, string> = {},
  options: Partial<OpenModelOptions> = {},
) {
  const own = { HF_HUB_CACHE: cache, HF_ENDPOINT: address, HF_HOME: join(cache, "home"), ...environment };
  return openModel(text, { environment: own, retry: { pauseMs: 5, attempts: 5 }, ...options });
}

/** Paths of everything below a folder, links with their targets. */
export function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => !lstatSync(join(folder, path)).isDirectory())
    .map((path) =>
      lstatSync(join(folder, path)).isSymbolicLink()
        ? `${path} -> ${readlinkSync(join(folder, path))}`
        : path,
    )
    .sort();
}

/** Reads a whole file. */
export async function contentOf(opened: OpenedModel, path: string): Promise<Uint8Array | undefined> {
  const source = await opened.folder.open(path);
  const bytes = await source?.read(0, source.sizeBytes);
  await source?.close?.();
  return bytes;
}

/** True if the weights are those of org/model. `toEqual` takes minutes for so many bytes. */
export async function hasWeights(opened: OpenedModel): Promise<boolean> {
  return Buffer.from(WEIGHTS).equals((await contentOf(opened, "model.safetensors")) ?? Buffer.alloc(0));
}

/** No blob is there that anybody could take for whole: every name is the hash of its content. */
export function expectNoFalseBlob(repo = "org/model"): void {
  const folder = join(cache, `models--${repo.replace("/", "--")}`, "blobs");
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".incomplete")) continue;
    const content = readFileSync(join(folder, name));
    expect(name).toBe(
      name.length === 64 ? createHash("sha256").update(content).digest("hex") : gitHash(content),
    );
  }
}
