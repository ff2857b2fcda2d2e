import { afterEach, describe, expect, it, vi } from "vitest";
import { place } from "../../../test/place/here.ts";
import { sizesOf } from "../../../test/sizes.ts";
import { ConfigError } from "../../base/errors.ts";
import type { TuningStore } from "../tuning-store.ts";
import { type WasmOptions, wasmFactory } from "./open-wasm.ts";
import { chooseTuning, DEFAULT_TUNING, parseTuning, TUNABLES, TUNING_NAMES } from "./tuning.ts";

const SIZES = {
  ...{ numLayers: 1, hiddenSize: 8, intermediateSize: 8, numQueryHeads: 1, numKvHeads: 1, headDim: 4 },
  ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: 4, maxPages: 1, maxSequenceLength: 4 },
  ...{ maxBatchRows: 1, maxBatchSequences: 1 },
};

let machines = 0;

/** A store of another machine each time: what this process knows does not count. */
function memoryStore(texts = new Map<string, string>(), machine = `machine ${machines++}`): TuningStore {
  return {
    machine,
    read: async (key) => texts.get(key),
    write: async (key, text) => void texts.set(key, text),
  };
}

async function open(tuningStore: TuningStore | undefined, options: WasmOptions = {}) {
  const { tuningStore: _, ...host } = place.createWasmHost();
  const given = { ...host, ...(tuningStore && { tuningStore }) };
  const backend = await wasmFactory(given, { threads: 2, simd: "simd", ...options })(...sizesOf(SIZES));
  await backend.close();
  const { tuning } = backend.report();
  if (!tuning) throw new Error("the report says nothing of tuning");
  return tuning;
}

const measured = async () => ({ tuning: { ...DEFAULT_TUNING, itemF16: 65536 }, elapsedMs: 5 });

afterEach(() => vi.resetModules());

describe("opening a backend", () => {
  it("measures once on a machine, for each number of threads, and says so", async () => {
    const texts = new Map<string, string>();
    const store = memoryStore(texts);
    const first = await open(store);
    expect(first.elapsedMs).toBeLessThan(1000); // half a second, and room for a busy machine
    // A machine that is too busy to finish a measurement keeps nothing.
    const kept = first.from === "measured" ? 1 : 0;
    expect(texts.size).toBe(kept);
    const second = await open(store);
    expect(second.choices).toEqual(first.choices);
    expect(second.from).toBe(first.from === "measured" ? "kept" : "default");
    const single = await open(store, { threads: 1 });
    expect(texts.size).toBe(kept + (single.from === "measured" ? 1 : 0));
    for (const [key, text] of texts) expect(parseTuning(JSON.parse(text), key)).toBeDefined();
  });

  it("measures nothing where it is told not to, and anew where it is told to", async () => {
    const store = memoryStore();
    expect(await open(store, { tuning: "default" })).toEqual({ from: "default", choices: DEFAULT_TUNING });
    await open(store);
    expect((await open(store, { tuning: "measure" })).elapsedMs).toBeGreaterThanOrEqual(0);
  });

  it("runs on without a store, and with one that fails", async () => {
    expect((await open(undefined)).choices).toBeDefined();
    const refuse = () => Promise.reject(new Error("read-only"));
    const broken = { machine: `machine ${machines++}`, read: refuse, write: refuse };
    const tuning = await open(broken);
    expect(tuning.note).toMatch(/^not kept: Error: read-only$|the machine is busy/);
  });

  it("runs on with the default choices where there is no memory to measure in", async () => {
    const grow = WebAssembly.Memory.prototype.grow;
    vi.spyOn(WebAssembly.Memory.prototype, "grow").mockImplementation(function (
      this: WebAssembly.Memory,
      by,
    ) {
      if (by > 1000) throw new RangeError("out of memory");
      return grow.call(this, by);
    });
    const tuning = await open(memoryStore());
    vi.restoreAllMocks();
    expect(tuning).toMatchObject({ from: "default", choices: DEFAULT_TUNING });
    expect(tuning.note).toContain("the machine refused");
  });

  it("refuses a mode that is none", async () => {
    const opened = open(memoryStore(), { tuning: "fast" as "auto" });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow('tuning must be one of auto, measure, default, got "fast"');
  });
});

describe("what is kept", () => {
  /** As another process finds it. */
  async function reread(store: TuningStore, measure = measured) {
    vi.resetModules();
    const fresh = await import("./tuning.ts");
    return fresh.chooseTuning({ mode: "auto", build: "build", store, measure });
  }

  it("is used by the next process, which measures nothing", async () => {
    const store = memoryStore();
    const first = await chooseTuning({ mode: "auto", build: "build", store, measure: measured });
    expect(first.from).toBe("measured");
    const measure = () => Promise.reject(new Error("measured again"));
    expect(await reread(store, measure)).toEqual({ from: "kept", choices: first.choices });
  });

  it("is not of another build, number of threads or machine", async () => {
    const texts = new Map<string, string>();
    for (const [machine, build] of [
      ["a", "x"],
      ["a", "y"],
      ["b", "x"],
    ] as const)
      await chooseTuning({ mode: "measure", build, store: memoryStore(texts, machine), measure: measured });
    expect(texts.size).toBe(3);
  });

  const whole = { key: "k", choices: DEFAULT_TUNING };
  it.each<[string, string]>([
    ["nothing", ""],
    ["cut off", JSON.stringify(whole).slice(0, 40)],
    ["no object", "7"],
    ["null", "null"],
    ["of another key", JSON.stringify({ ...whole, key: "other" })],
    ["without choices", JSON.stringify({ key: "k" })],
    ["choices of null", JSON.stringify({ key: "k", choices: null })],
    ["one number short", JSON.stringify({ key: "k", choices: { ...DEFAULT_TUNING, itemF16: undefined } })],
    ["a text for a number", JSON.stringify({ key: "k", choices: { ...DEFAULT_TUNING, itemF16: "65536" } })],
    ["below its range", JSON.stringify({ key: "k", choices: { ...DEFAULT_TUNING, attendBlock: 0 } })],
    ["above its range", JSON.stringify({ key: "k", choices: { ...DEFAULT_TUNING, streamThreads: 1e9 } })],
    ["no whole number", JSON.stringify({ key: "k", choices: { ...DEFAULT_TUNING, itemBf16: 4096.5 } })],
  ])("%s counts as nothing: it is measured anew, and mended", async (_, text) => {
    const store = memoryStore();
    const key = `${store.machine} | build`;
    await store.write(key, text.replace('"k"', JSON.stringify(key)));
    expect((await reread(store)).from).toBe("measured");
    expect((await reread(store)).from).toBe("kept");
  });

  it("is not a measurement that was not finished", async () => {
    const texts = new Map<string, string>();
    const measure = async () => ({ ...(await measured()), unfinished: "busy" });
    const store = memoryStore(texts);
    const report = await chooseTuning({ mode: "auto", build: "build", store, measure });
    expect(report).toMatchObject({ from: "default", note: "busy" });
    expect(texts.size).toBe(0);
  });
});

it("two backends that open at once measure once", async () => {
  let count = 0;
  const measure = async () => {
    count++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return measured();
  };
  const request = { mode: "auto", build: "build", store: memoryStore(), measure } as const;
  const [first, second] = await Promise.all([chooseTuning(request), chooseTuning(request)]);
  expect(count).toBe(1);
  expect(second.choices).toEqual(first.choices);
});

it("every default lies in its range", () => {
  for (const name of TUNING_NAMES) {
    const { default: value, least, most } = TUNABLES[name];
    expect(value).toBeGreaterThanOrEqual(least);
    expect(value).toBeLessThanOrEqual(most);
  }
});
