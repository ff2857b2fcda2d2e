/** Where calibrations are kept, and that they are found there: beside models, and in the cache for those of others. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { LocalHub } from "../../test/hub/local-hub.ts";
import { inspectCheckpoint, ModelFileError, storeCalibration } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "lessismore-calibrations-"));
const model = join(folder, "model");
const BESIDE = join(model, "sparse-attention.json");
const calibrations = join(folder, "cache", "lessismore", "calibrations");
const PICO = repositoryPath("models/pico-reasoner");

beforeAll(() => {
  cpSync(PICO, model, { recursive: true });
  rmSync(join(model, "generation_config.json"));
});
beforeEach(() => {
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(join(folder, "cache"), { recursive: true, force: true });
  rmSync(BESIDE, { force: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const contentsFor = (identity: string, rest: object = { selectionLayers: [1, 6] }) => ({
  ...{ format: "lessismore-calibration-1", model: identity, ...rest },
});

async function store(name: string, rest?: object): Promise<string> {
  const report = await inspectCheckpoint(name);
  return storeCalibration(name, report, () => contentsFor(report.identity, rest));
}

async function layersOf(name: string, attention = "less-is-more:budget=64,layers=auto") {
  const report = await inspectCheckpoint(name, { attention });
  const { settings, selectionLayersFrom } = report.attention;
  return { settings, from: selectionLayersFrom };
}

describe("a calibration", () => {
  it("of a folder here lies beside the weights", async () => {
    expect(await store(model)).toBe(BESIDE);
    expect(await layersOf(model)).toMatchObject({ settings: { layers: [1, 6] }, from: "calibration" });
    expect(existsSync(calibrations)).toBe(false);
  });

  it("is made from the one that is there", async () => {
    await store(model, { selectionLayers: [1, 6], attention: "quest:budget=64" });
    const report = await inspectCheckpoint(model);
    await storeCalibration(model, report, (found) => {
      expect(found).toEqual({ selectionLayers: [1, 6], attention: "quest:budget=64", policies: [] });
      return contentsFor(report.identity);
    });
    expect(JSON.parse(readFileSync(BESIDE, "utf8"))).toEqual(contentsFor(report.identity));
    expect((await readdir(model)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("of a folder that refuses it is kept in the cache, found there, and by no copy of the model", async () => {
    const copy = join(folder, "copy");
    cpSync(model, copy, { recursive: true });
    mkdirSync(join(folder, "cache"), { recursive: true });
    const isRoot = process.geteuid?.() === 0;
    for (const path of [folder, join(folder, "cache")]) chmodSync(path, 0o777);
    // What came with the model gives way to what was measured here.
    const { identity } = await inspectCheckpoint(model);
    writeFileSync(BESIDE, JSON.stringify(contentsFor(identity, { selectionLayers: [5] })));
    chmodSync(model, 0o555);
    try {
      if (isRoot) process.seteuid?.(65_534);
      const path = await store(model);
      expect(path.startsWith(calibrations)).toBe(true);
      expect(await layersOf(model)).toMatchObject({ settings: { layers: [1, 6] }, from: "calibration" });
      expect(await layersOf(copy)).toMatchObject({ from: "guess" });
    } finally {
      if (isRoot) process.seteuid?.(0);
      chmodSync(model, 0o755);
    }
    expect(await store(model, { selectionLayers: [3] })).toBe(BESIDE);
    expect(await layersOf(model)).toMatchObject({ settings: { layers: [3] }, from: "calibration" });
  });

  it("of a model of the hub is kept in the cache and found there, also without the hub", async () => {
    const names = ["config.json", "tokenizer.json", "model.safetensors"];
    const files = Object.fromEntries(
      names.map((name) => [name, new Uint8Array(readFileSync(join(model, name)))]),
    );
    const hub = await LocalHub.start({ "org/model": { files } });
    try {
      vi.stubEnv("HF_ENDPOINT", hub.url);
      vi.stubEnv("HF_HUB_CACHE", join(folder, "hub"));
      const { pullModel } = await import("./index.ts");
      const pulled = await pullModel("org/model");
      const path = await store("org/model");
      expect(path.startsWith(calibrations)).toBe(true);
      expect(existsSync(join(pulled.path, "sparse-attention.json"))).toBe(false);
      expect(await layersOf("org/model")).toMatchObject({
        settings: { layers: [1, 6] },
        from: "calibration",
      });
    } finally {
      hub.close();
    }
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect(await layersOf("org/model")).toMatchObject({ settings: { layers: [1, 6] }, from: "calibration" });
  });

  it("of another checkpoint in the same place is not used, and a note says why", async () => {
    await store(model);
    const config = join(model, "config.json");
    const own = readFileSync(config, "utf8");
    try {
      writeFileSync(config, JSON.stringify({ ...JSON.parse(own), rms_norm_eps: 0.0625 }));
      const report = await inspectCheckpoint(model, { attention: "less-is-more:budget=64" });
      expect(report.attention.selectionLayersFrom).toBe("guess");
      expect(report.notes.join("\n")).toContain("it was measured on the model");
    } finally {
      writeFileSync(config, own);
    }
  });

  it("that cannot be written anywhere is an error that names a way out", async () => {
    writeFileSync(join(folder, "cache-file"), "");
    vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache-file"));
    mkdirSync(BESIDE);
    try {
      await expect(store(model)).rejects.toThrow(ModelFileError);
      await expect(store(model)).rejects.toThrow(/writing the calibration: .*--out/);
    } finally {
      rmSync(BESIDE, { recursive: true });
    }
  });
});

describe("settings of policies in a calibration", () => {
  const policies = [
    "less-is-more:recency=0.5",
    "kascade:anchors=0+2+7,maps=4:1-0",
    "key-sketch:dense-layers=2",
  ];

  it("stand in for those that a spec of the policy leaves out", async () => {
    await store(model, { selectionLayers: [1, 6], policies });
    expect(await layersOf(model, "less-is-more:budget=64")).toMatchObject({
      ...{ settings: { budget: 64, recency: 0.5, layers: [1, 6] }, from: "calibration" },
    });
    expect(await layersOf(model, "kascade:budget=64")).toMatchObject({
      ...{ settings: { budget: 64, anchors: [0, 2, 7], maps: ["4:1-0"] }, from: "calibration" },
    });
    expect(await layersOf(model, "key-sketch:budget=64")).toMatchObject({
      settings: { budget: 64, "dense-layers": 2 },
    });
    expect(await layersOf(model, "tidal-decode:budget=64")).toMatchObject({
      ...{ settings: { layers: [1, 6] }, from: "calibration" },
    });
  });

  it("give way to those that a spec names; head maps fit their own anchors alone", async () => {
    await store(model, { selectionLayers: [1, 6], policies });
    expect(await layersOf(model, "less-is-more:budget=64,recency=0.1,layers=2+7")).toMatchObject({
      ...{ settings: { recency: 0.1, layers: [2, 7] }, from: "request" },
    });
    const named = await layersOf(model, "kascade:budget=64,anchors=0+4");
    expect(named).toMatchObject({ settings: { anchors: [0, 4] }, from: "request" });
    expect(named.settings).not.toHaveProperty("maps");
  });

  it("come before the checkpoint's own, which fill what is left", async () => {
    const generation = join(model, "generation_config.json");
    const own = "less-is-more:budget=96,layers=2+7,recency=0.125";
    try {
      writeFileSync(generation, JSON.stringify({ sparse_attention: own }));
      expect((await inspectCheckpoint(model)).attention).toMatchObject({
        ...{ settings: { budget: 96, recency: 0.125, layers: [2, 7] }, selectionLayersFrom: "checkpoint" },
      });
      await store(model, { selectionLayers: [1, 6], policies });
      expect((await inspectCheckpoint(model)).attention).toMatchObject({
        ...{ settings: { budget: 96, recency: 0.5, layers: [1, 6] }, selectionLayersFrom: "calibration" },
      });
    } finally {
      rmSync(generation, { force: true });
    }
  });

  it.each([
    [["kascade:anchors=0+99"], "layer 99"],
    [["no-such-policy:budget=1"], "no-such-policy"],
    [["kascade:anchors=0", "kascade:anchors=1"], "one of each policy"],
    [[7], "attention specs"],
  ])("that the model cannot have leave the calibration unused, and a note says why: %j", async (bad, reason) => {
    await store(model, { selectionLayers: [1, 6], policies: bad });
    const { attention, notes } = await inspectCheckpoint(model, { attention: "less-is-more:budget=64" });
    expect(attention.selectionLayersFrom).toBe("guess");
    expect([...notes, ...attention.notes].join("\n")).toContain(reason);
  });
});
