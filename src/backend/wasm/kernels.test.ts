import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportsOf, exportsSource } from "../../../scripts/wasm-exports.mjs";
import { BackendError } from "../../base/errors.ts";
import { WEIGHT_FORMATS } from "../../base/weight-format.ts";
import { createWasmHost } from "../../node/wasm-host.ts";
import * as layout from "./assembly/layout.ts";
import { ARITIES } from "./exports.ts";
import type { WasmModuleName } from "./host.ts";
import { kernelsOf } from "./kernels.ts";
import { ARENA_START, PAGE_BYTES, WORDS } from "./memory-map.ts";

const MODULES: readonly WasmModuleName[] = ["simd-threads", "simd-single"];

async function exportsOfModule(name: WasmModuleName): Promise<WebAssembly.Exports> {
  const isShared = name.endsWith("threads");
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: isShared });
  const env = { memory, now: () => 0, abort: () => {} };
  const { instance } = await WebAssembly.instantiate(await createWasmHost().loadModule(name), { env });
  return instance.exports;
}

/** The exports of a module with others in place of some. */
async function exportsWith(others: Record<string, unknown>): Promise<WebAssembly.Exports> {
  return { ...(await exportsOfModule("simd-single")), ...others } as WebAssembly.Exports;
}

describe("a compiled module and its caller", () => {
  it.each(MODULES)("agree in every function, word and address: %s", async (name) => {
    const exports = await exportsOfModule(name);
    expect(kernelsOf(exports)).toBe(exports);
    const functions = Object.entries(exports).filter(([, value]) => typeof value === "function");
    expect(Object.fromEntries(functions.map(([key, value]) => [key, (value as () => void).length]))).toEqual(
      ARITIES,
    );
    const constants = Object.entries(exports).filter(([, value]) => value instanceof WebAssembly.Global);
    expect(
      Object.fromEntries(constants.map(([key, value]) => [key, (value as WebAssembly.Global).value])),
    ).toEqual({ ...WORDS, ...layout });
  });

  it.each([
    ["a function is missing", { attendAll: undefined }, "expected a function attendAll, got undefined"],
    ["a parameter is missing", { topK: (_: number) => 0 }, "expected 11 parameters of topK, got 1"],
    [
      "a word stands elsewhere",
      { slots: new WebAssembly.Global({ value: "i32" }, 99) },
      "expected slots to be 35, got 99",
    ],
    ["a word is unknown", { extents: undefined }, "expected extents to be 13, got undefined"],
    [
      "splits are of another size",
      { SPLIT: new WebAssembly.Global({ value: "i32" }, 128) },
      "expected SPLIT to be 256, got 128",
    ],
  ])("are told apart where %s", async (_, others, difference) => {
    const exports = await exportsWith(others);
    expect(() => kernelsOf(exports)).toThrow(BackendError);
    expect(() => kernelsOf(exports)).toThrow(`of another version: ${difference}; install the package anew`);
  });
});

describe("the memory map", () => {
  it("has a place of its own for every word, between the parameters and the kernels' data", () => {
    const indices = Object.values(WORDS);
    expect(new Set(indices).size).toBe(indices.length);
    expect(layout.PARAMS_ADDRESS).toBeGreaterThan(layout.ARRIVED_ADDRESS);
    expect(layout.WORDS_ADDRESS).toBeGreaterThan(layout.PARAMS_ADDRESS);
    expect(layout.WORDS_ADDRESS + 4 * (Math.max(...indices) + 1)).toBeLessThanOrEqual(layout.MEMORY_BASE);
    expect(layout.MEMORY_BASE + PAGE_BYTES).toBeLessThanOrEqual(ARENA_START);
  });

  it("has the tuning of weight streams in the order of the format codes", () => {
    const names = { f32: "F32", f16: "F16", bf16: "Bf16" } as const;
    for (const [format, name] of Object.entries(names)) {
      const { code } = WEIGHT_FORMATS[format as keyof typeof names];
      expect(WORDS[`ahead${name}`] - WORDS.aheadF32).toBe(2 * code);
      expect(WORDS[`item${name}`] - WORDS.itemF32).toBe(2 * code);
    }
    expect(WORDS.aheadF16Special - WORDS.aheadF32).toBe(2 * layout.F16_SPECIAL);
    expect(Object.values(WEIGHT_FORMATS).map(({ code }) => code)).not.toContain(layout.F16_SPECIAL);
  });

  it("is what the build gives to asc", () => {
    const build = readFileSync("scripts/build.mjs", "utf8");
    expect(build).toContain(`"--memoryBase", "${layout.MEMORY_BASE}"`);
  });
});

describe("the signatures that the build reads from AssemblyScript", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lessismore-assembly-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function signatures(index: string, other = "") {
    writeFileSync(join(folder, "index.ts"), index);
    writeFileSync(join(folder, "other.ts"), other);
    return exportsOf(folder, "index");
  }

  it("are those of the module and of what it re-exports by name", () => {
    const functions = signatures(
      'export { b } from "./other";\nexport * from "./words";\n/** Adds. */\nexport function a(x: usize,\n  y: f32): u32 { return 0; }\nfunction c(): void {}\n',
      "export function hidden(v: v128): void {}\nexport function b(): void {}\n",
    );
    expect(functions.map(({ name, params }) => [name, params.map((param) => param.name)])).toEqual([
      ["a", ["x", "y"]],
      ["b", []],
    ]);
    const source = exportsSource(functions, "index.ts");
    expect(source).toContain("  /** Adds. */\n  a(x: number, y: number): number;\n  b(): void;\n");
    expect(source).toContain("  a: 2,\n  b: 0,\n");
  });

  it("are those of this checkout in exports.ts", () => {
    const assembly = "src/backend/wasm/assembly";
    const made = exportsSource(exportsOf(assembly, "index"), `${assembly}/index.ts`);
    expect(readFileSync("src/backend/wasm/exports.ts", "utf8")).toBe(made);
  });

  it.each([
    ["export function a(x: i64): void {}", "the wasm export a(x) is of type i64"],
    ["export function a(): v128 {}", "the wasm export a is of type v128"],
    ['export { d } from "./other";', "re-exports d from other.ts"],
  ])("are refused where JavaScript cannot call them: %s", (index, message) => {
    expect(() => signatures(`${index}\n`)).toThrow(message);
  });
});
