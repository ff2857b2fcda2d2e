/** What the tarball has, and what a program that installs it can load. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InstalledPackage } from "./installed-package.ts";

const MB = 1_000_000;
const MAX_TARBALL_MB = 17.5; // 16.4 with the bundled model
const MAX_UNPACKED_MB = 28; // 26.6, of which the bundled model has 17.9
const MAX_FILES = 1300;

let installed: InstalledPackage;
beforeAll(() => {
  installed = new InstalledPackage();
});
afterAll(() => installed?.remove());

/** The names that a path of `exports` leads to, under every condition. */
function targetsOf(exported: unknown): string[] {
  if (typeof exported === "string") return [exported];
  if (typeof exported === "object" && exported !== null) return Object.values(exported).flatMap(targetsOf);
  return [];
}

describe("the tarball", () => {
  it(`has at most ${MAX_TARBALL_MB} MB, ${MAX_UNPACKED_MB} MB unpacked, and ${MAX_FILES} files`, () => {
    const { size, unpackedSize, files } = installed.packed;
    expect(size).toBeLessThan(MAX_TARBALL_MB * MB);
    expect(unpackedSize).toBeLessThan(MAX_UNPACKED_MB * MB);
    expect(files.length).toBeLessThan(MAX_FILES);
  });

  it("has what it runs on, its types, the bundled model, kernels and licences, and nothing of the tests or the benchmarks", () => {
    const paths = installed.packed.files.map(({ path }) => path);
    for (const path of [
      ...["package.json", "README.md", "LICENSE", "CHANGELOG.md", "dist/cli/main.js"],
      ...["dist/bundle/node/licences.txt", "dist/bundle/browser/licences.txt"],
      ...["dist/wasm/simd-single.wasm", "models/pico-reasoner/model.safetensors"],
    ])
      expect(paths).toContain(path);
    const parts =
      /^(dist\/(bundle|cli|wasm)\/|dist\/(src|eval)\/.*\.d\.ts$|dist\/src\/(?!node\/|server\/|cli\/).*\.js$|models\/|deploy\/|[^/]+\.(md|json)$|LICENSE$)/;
    expect(paths.filter((path) => !parts.test(path))).toEqual([]);
    expect(paths.filter((path) => /\.map$|\.test\.|\/(test|bench)\/|\.stamp$/.test(path))).toEqual([]);
  });

  it("has every file that package.json names", () => {
    const paths = new Set(installed.packed.files.map(({ path }) => path));
    const { exports, bin } = JSON.parse(
      readFileSync(join(installed.project, "node_modules/lessismore/package.json"), "utf8"),
    );
    const named = [...targetsOf(exports), ...targetsOf(bin)].map((path) => path.replace(/^\.\//, ""));
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((path) => !paths.has(path))).toEqual([]);
  });

  it("names no source map that it lacks", () => {
    const scripts = installed.packed.files.filter(({ path }) => /^dist\/.*\.js$/.test(path));
    expect(scripts.length).toBeGreaterThan(300);
    for (const { path } of scripts)
      expect(
        readFileSync(join(installed.project, "node_modules/lessismore", path), "utf8"),
        path,
      ).not.toMatch(/^\/\/# sourceMappingURL/m);
  });
});

describe("the installed package, without optional packages", () => {
  const { exports } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const entries = Object.keys(exports).map((path) => path.replace(/^\./, "lessismore"));

  it.each(["import", "require"])("loads every entry by %s, each with exports, and says nothing", (form) => {
    const load = (entry: string) => (form === "import" ? `await import("${entry}")` : `require("${entry}")`);
    const lines = entries.map((entry) => `names["${entry}"] = Object.keys(${load(entry)}).length;`);
    const program = `const names = {};\n${lines.join("\n")}\nconsole.log(JSON.stringify(names));`;
    const file = installed.write(form === "import" ? "load.mjs" : "load.cjs", program);
    const { status, stdout, stderr } = installed.node([file]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const names: Record<string, number> = JSON.parse(stdout);
    expect(Object.keys(names)).toEqual(entries);
    for (const entry of entries) expect(names[entry], entry).toBeGreaterThan(0);
  });

  it("has a command that computes, and names what the GPU lacks", () => {
    const command = ["node_modules/lessismore/dist/cli/main.js"];
    const version = installed.node([...command, "--version"]);
    expect(version.stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
    const generate = [...command, "generate", "a", "--max-tokens", "2", "--ignore-eos", "--json"];
    const { status, stdout, stderr } = installed.node(generate);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).tokenIds).toHaveLength(2);
    // a file in place of a driver: where there is none, that is what the message names
    const driver = { VK_DRIVER_FILES: join(installed.project, "package.json") };
    const onGpu = installed.node([...generate, "--backend", "webgpu"], driver);
    expect(onGpu.status).not.toBe(0);
    expect(onGpu.stderr).toContain("the package webgpu did not load");
    expect(onGpu.stderr).toContain("npm install webgpu");
  });
});
