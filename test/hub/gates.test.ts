/** Repositories of trained gates: fetched once, with what a gate needs alone; and what is no gate. */
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openGateFile } from "../../src/load/gates/gate-file.ts";
import { openGate } from "../../src/node/hub/open-gate.ts";
import { openModel } from "../../src/node/hub/open-model.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { LocalHub } from "./local-hub.ts";

const FOLDER = repositoryPath("test/golden/seer/qwen2-bias");
const MODEL = { numLayers: 4, numQueryHeads: 6, numKvHeads: 2, headDim: 16 };

let hub: LocalHub;
let cache: string;
beforeEach(async () => {
  hub = await LocalHub.start({
    "org/gates": {
      files: {
        "config.json": await readFile(`${FOLDER}/config.json`, "utf8"),
        "attn_gate_weights.pth": new Uint8Array(await readFile(`${FOLDER}/attn_gate_weights.pth`)),
        "README.md": "# gates",
        "tokenizer.json": "{}",
      },
    },
    "org/model": { files: { "config.json": "{}", "model.safetensors": "w" } },
  });
  cache = mkdtempSync(join(tmpdir(), "lessismore-gates-"));
});
afterEach(() => {
  hub.close();
  rmSync(cache, { recursive: true });
});

const open = (text: string) =>
  openModel(text, {
    contents: "gate",
    environment: { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache },
    retry: { attempts: 1 },
  });

test("a repository in the published form is fetched once: the .pth file and config.json", async () => {
  for (const asked of [["revision", "tree"], ["revision"]]) {
    hub.seen.length = 0;
    const { folder, notes } = await open("org/gates");
    const file = await openGateFile(folder, MODEL);
    expect((await file.read(1)).q).toHaveLength(6 * 16 * 12);
    await file.close();
    expect(notes).toEqual([]);
    expect(hub.seen.map(({ kind }) => kind).slice(0, asked.length)).toEqual(asked);
    expect(hub.seen.some(({ path }) => /README|tokenizer/.test(path))).toBe(false);
  }
  expect(hub.seen).toHaveLength(1);
});

test("a model's repository is no gate, and a gate's no model", async () => {
  await expect(open("org/model")).rejects.toThrow(
    /org\/model: it has none of seer-attention-gates\.safetensors/,
  );
  const asModel = openModel("org/gates", {
    environment: { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache },
    retry: { attempts: 1 },
  });
  await expect(asModel).rejects.toThrow(/PyTorch's pickle format/);
});

test("a .pth file behind a URL opens as a gate, with its config.json beside it", async () => {
  const folder = `${hub.url}/org/gates/resolve/main`;
  for (const location of [`${folder}/attn_gate_weights.pth`, folder]) {
    const file = await openGateFile(await openGate(location), MODEL);
    expect((await file.read(2)).k).toHaveLength(2 * 48 * 12);
    await file.close();
  }
});

test.each([
  ["a folder", FOLDER],
  ["a .pth file", `${FOLDER}/attn_gate_weights.pth`],
  ["a .safetensors file", repositoryPath("test/golden/seer/qwen3-group8/seer-attention-gates.safetensors")],
])("%s opens as a gate", async (_, path) => {
  const model = path.endsWith(".safetensors")
    ? { numLayers: 3, numQueryHeads: 8, numKvHeads: 1, headDim: 18 }
    : MODEL;
  const file = await openGateFile(await openGate(path), model);
  expect(file.blockSize).toBe(16);
  await file.close();
});
