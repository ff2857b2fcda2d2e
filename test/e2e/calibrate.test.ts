/** `lessismore calibrate`, from the search to what a request gets: small checkpoints, on the CPU. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCalibrate } from "../../eval/commands/calibrate.ts";
import { formatAttention, inspectCheckpoint, openEngine } from "../../src/node/index.ts";
import { repositoryPath } from "../golden/open-fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "lessismore-calibrate-"));
const model = join(folder, "model");
const FILE = join(model, "sparse-attention.json");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(options: Partial<Parameters<typeof runCalibrate>[0]> = {}) {
  let text = "";
  const sink = { write: (part: string) => (text += part) };
  const code = await runCalibrate(
    {
      ...{
        model,
        policy: "less-is-more" as const,
        tasks: [],
        problems: 0,
        steps: 16,
        maxRead: undefined,
        tolerance: 0,
        minutes: Number.POSITIVE_INFINITY,
      },
      ...{
        seed: 1,
        isDefault: false,
        isDry: false,
        json: false,
        tokenBudget: 32,
        place: { backend: "wasm" as const },
      },
      ...options,
    },
    {
      ...{ stdout: sink, stderr: sink, signal: new AbortController().signal, begin: () => {} },
      progress: { show: () => {}, erase: () => {} },
    },
  );
  return { code, text };
}

beforeAll(() => {
  cpSync(repositoryPath("models/pico-reasoner"), model, { recursive: true });
  const generation = { sparse_attention: "less-is-more:budget=256,layers=2+7" };
  writeFileSync(join(model, "generation_config.json"), JSON.stringify(generation));
});

describe("a calibration of the bundled model", () => {
  it("finds layers, checks them on other text, and writes them beside the model", async () => {
    const { code, text } = await run({ tasks: ["registers"], tokenBudget: 64 });
    expect(code).toBe(0);
    expect(text).toContain("layers read the selection of a row");
    expect(text).toContain("oracle-top-k:budget=64");
    const { selectionLayers, attention, measured } = JSON.parse(readFileSync(FILE, "utf8"));
    expect(selectionLayers.length).toBeGreaterThan(0);
    expect(attention).toBeUndefined();
    expect(measured.confidence).toBeGreaterThan(0);
    expect(measured.checked[0].extraLoss).toBeLessThanOrEqual(measured.checked[1].extraLoss + 0.05);
  });

  it("counts from then on: a spec without layers, and the report, have them", async () => {
    const own = JSON.parse(readFileSync(FILE, "utf8"));
    writeFileSync(FILE, JSON.stringify({ ...own, selectionLayers: [3, 8] }));
    const { attention } = await inspectCheckpoint(model, { attention: "less-is-more:budget=64,layers=auto" });
    expect(attention).toMatchObject({ selectionLayersFrom: "calibration", settings: { layers: [3, 8] } });
    const engine = await openEngine({ model, backend: "wasm" });
    try {
      expect(engine.report().attention).toMatchObject({
        name: "less-is-more",
        settings: { budget: 256, layers: [3, 8] },
        selectionLayersFrom: "calibration",
      });
    } finally {
      await engine.close();
    }
    const named = await inspectCheckpoint(model, { attention: "less-is-more:layers=1+4" });
    expect(named.attention).toMatchObject({ selectionLayersFrom: "request", settings: { layers: [1, 4] } });
  });

  it("names the default attention if it is asked to", async () => {
    const { code } = await run({
      policy: "key-sketch",
      isDefault: true,
      tasks: ["registers"],
      tokenBudget: 64,
    });
    expect(code).toBe(0);
    const { attention } = JSON.parse(readFileSync(FILE, "utf8"));
    const report = await inspectCheckpoint(model);
    expect(attention).toMatch(/^key-sketch:budget=\d+,dense-layers=\d(,recency=[\d.]+)?$/);
    expect(report.attention.name).toBe("key-sketch");
  });

  it.each([
    [{ model: "0123456789abcdef" }, "was measured on the model"],
    [{ selectionLayers: [2, 10] }, "layer 10"],
    [{ attention: "no-such-policy" }, "no-such-policy"],
  ])("that does not fit is not used, and a note says why: %j", async (change, reason) => {
    const { identity } = await inspectCheckpoint(model);
    const whole = { format: "lessismore-calibration-1", model: identity, ...change };
    writeFileSync(FILE, JSON.stringify(whole));
    const { attention, notes } = await inspectCheckpoint(model);
    expect([...notes, ...attention.notes].join("\n")).toContain(reason);
    expect(attention).toMatchObject({ name: "less-is-more", settings: { layers: [2, 7] } });
  });

  it("that is no JSON is not used", async () => {
    writeFileSync(FILE, "{");
    const { notes, attention } = await inspectCheckpoint(model);
    expect(notes.join("\n")).toContain("sparse-attention.json is not used");
    expect(attention.settings).toMatchObject({ layers: [2, 7] });
  });
});

describe("texts", () => {
  it("are prose and the model's own answers, in turn, without --text and --task", async () => {
    const result = JSON.parse((await run({ isDry: true, json: true })).text);
    expect(result.text).toBe("prose and the model's own answers, in turn");
    expect(result.leftOut).toEqual([]);
    expect(result.chosen.steps).toBe(3 * 16);
  });

  it("take no longer than the minutes allow, or nothing can be measured", async () => {
    await expect(run({ isDry: true, minutes: 0.0001 })).rejects.toThrow(/give more --minutes/);
  });

  it("come from a file, which must be long enough", async () => {
    const file = join(folder, "text.txt");
    writeFileSync(file, "let a = 1, b = 2; a + b = 3. ".repeat(300));
    expect(JSON.parse((await run({ isDry: true, json: true, textFile: file })).text).text).toBe(file);
    writeFileSync(file, "short");
    await expect(run({ isDry: true, textFile: file })).rejects.toThrow(/has \d+ tokens; calibration takes/);
  });
});

describe("kascade", () => {
  it("is used with its anchors and head maps from then on, beside the layers of less-is-more", async () => {
    const { identity } = await inspectCheckpoint(model);
    const known = { format: "lessismore-calibration-1", model: identity, selectionLayers: [3, 8] };
    writeFileSync(FILE, JSON.stringify(known));
    const { code } = await run({ policy: "kascade", tasks: ["registers"], tokenBudget: 64 });
    expect(code).toBe(0);
    const { policies, selectionLayers } = JSON.parse(readFileSync(FILE, "utf8"));
    expect(selectionLayers).toEqual([3, 8]);
    expect(policies).toEqual([expect.stringMatching(/^kascade:anchors=/)]);
    const { attention } = await inspectCheckpoint(model, { attention: "kascade:budget=64" });
    expect(attention.selectionLayersFrom).toBe("calibration");
    expect(formatAttention(attention)).toBe(`kascade:budget=64,${policies[0].slice("kascade:".length)}`);
  });
});

/** A copy of a small checkpoint with a tokenizer of single characters. */
function withTokenizer(name: string): string {
  const path = join(folder, name);
  cpSync(repositoryPath(`test/golden/hf/${name}`), path, { recursive: true });
  const vocab = Object.fromEntries(
    Array.from({ length: 95 }, (_, i) => [String.fromCharCode(32 + i), i] as const),
  );
  const bpe = { type: "BPE", unk_token: "~", vocab, merges: [] };
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify({ added_tokens: [], model: bpe }));
  return path;
}

/** The first layer of a checkpoint. */
function firstLayerOf(name: string): string {
  const path = withTokenizer(name);
  const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8"));
  writeFileSync(join(path, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 1 }));
  const weights = join(path, "model.safetensors");
  const bytes = readFileSync(weights);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header: Record<string, { data_offsets: [number, number] }> = JSON.parse(
    bytes.subarray(8, start).toString("utf8"),
  );
  const kept: Buffer[] = [];
  let end = 0;
  for (const [tensor, entry] of Object.entries(header)) {
    if (tensor === "__metadata__") continue;
    const [from, to] = entry.data_offsets;
    if (/\.layers\.[1-9]/.test(tensor)) delete header[tensor];
    else kept.push(bytes.subarray(start + from, start + to));
    entry.data_offsets = [end, end + to - from];
    if (header[tensor]) end += to - from;
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(weights, Buffer.concat([size, text, ...kept]));
  return path;
}

describe("other shapes", () => {
  const policies = ["less-is-more", "tidal-decode", "key-sketch", "kascade"] as const;
  it.each([
    ["gemma3-local", "some layers slide", withTokenizer],
    ["gemma3-f32", "one of two layers slides", withTokenizer],
    ["llama-mha-f32", "one layer", firstLayerOf],
    ["qwen3-untied", "four layers", withTokenizer],
    ["qwen3-moe", "experts", withTokenizer],
    ["qwen3-yarn", "a context of 256", withTokenizer],
  ])("%s: %s", async (name, _, make) => {
    const path = make(name);
    for (const policy of policies) {
      const { text } = await run({ model: path, policy, isDry: true, tokenBudget: 16, json: true });
      const { chosen, checked } = JSON.parse(text);
      expect(chosen.spec).toMatch(new RegExp(`^${policy}:budget=\\d+`));
      expect(chosen.divergence).toBeGreaterThanOrEqual(0);
      expect(checked[0].spec).toBe(chosen.spec);
    }
    const { attention } = await inspectCheckpoint(path, { attention: "less-is-more:budget=16,layers=auto" });
    expect(attention.name).toBe("less-is-more");
  });

  it("says so if the policy saves nothing", async () => {
    const { text } = await run({ model: join(folder, "llama-mha-f32"), isDry: true, tokenBudget: 16 });
    expect(text).toContain("saves nothing on this model");
  });

  it("end in errors that say what to do", async () => {
    const dry = { isDry: true, tokenBudget: 16 };
    const slides = withTokenizer("mistral-window");
    await expect(run({ ...dry, model: slides })).rejects.toThrow(/sliding window.*use full attention/);
    const place = { backend: "wasm" as const, contextLength: 128 };
    await expect(run({ ...dry, place })).rejects.toThrow(/a context of \d+ tokens or more/);
    await expect(run({ ...dry, tasks: ["registers"] })).rejects.toThrow(/a larger --budget/);
    await expect(run({ ...dry, model, tokenBudget: 4096 })).rejects.toThrow(/give a --budget from 8 to \d+/);
    const mute = repositoryPath("test/golden/hf/qwen2-bias");
    await expect(run({ ...dry, model: mute })).rejects.toThrow(/put its tokenizer\.json beside the weights/);
  });
});
