import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkImports, importsOf } from "../../scripts/check-imports.mjs";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lessismore-imports-"));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Writes a tree of files, each with one import per line of specifiers, and checks it. */
function check(files: Record<string, string | readonly string[]>) {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    const lines =
      typeof content === "string" ? [content] : content.map((name) => `import type { X } from "${name}";`);
    writeFileSync(join(root, path), lines.join("\n"));
  }
  return checkImports(root);
}

describe("the import law", () => {
  it("passes a lawful tree", () => {
    const { files, problems } = check({
      "src/base/errors.ts": [],
      "src/backend/backend.ts": ["../base/errors.ts"],
      "src/backend/wasm/backend.ts": ["../backend.ts", "./pool.ts"],
      "src/backend/wasm/pool.ts": ["../../base/errors.ts"],
      "src/attention/policy.ts": ["../backend/backend.ts"],
      "src/attention/policies/quest.ts": ["../policy.ts"],
      "src/attention/policies/index.ts": ["./quest.ts"],
      "src/engine/engine.test.ts": ["../backend/wasm/backend.ts", "../cli/main.ts", "node:fs"],
      "src/machine/backends.ts": ["../backend/wasm/backend.ts"],
      "src/machine/choose-backend.ts": ["./backends.ts", "../engine/engine.ts"],
      "src/engine/engine.ts": ["../model/decoder.ts"],
      "src/open.ts": ["./machine/choose-backend.ts", "./open-options.ts", "./attention/policies/quest.ts"],
      "src/open-options.ts": [],
      "src/node/index.ts": ["../open.ts", "node:fs", "../backend/wasm/backend.ts"],
      "src/browser/index.ts": ["../open.ts", "../backend/wasm/backend.ts"],
      "web/main.tsx": ["lessismore", "../eval/problems/index.ts"],
      "eval/problems/index.ts": [],
      "src/cli/main.ts": ["../node/index.ts", "node:process", "commander"],
      "src/server/listen.ts": ["node:http"],
      "src/node/internal.ts": ["../backend/wasm/backend.ts", "../model/decoder.ts", "./index.ts"],
      "bench/kernels/wasm.ts": ["../../src/node/internal.ts", "../../src/node/index.ts", "../statistics.ts"],
      "bench/statistics.ts": [],
      "src/model/decoder.ts": [],
      "eval/demo.ts": ["../src/node/index.ts", "./tasks/graph.ts", "node:util"],
      "eval/tasks/graph.ts": [],
    });
    expect(problems).toEqual([]);
    expect(files).toBe(24);
  });

  it.each([
    ["a higher layer", "src/base/a.ts", "../engine/engine.ts", "layer"],
    ["load from backend", "src/load/a.ts", "../backend/backend.ts", "layer"],
    ["backend from load", "src/backend/a.ts", "../load/load.ts", "layer"],
    ["engine from open", "src/engine/a.ts", "../open.ts", "layer"],
    ["open from the machine", "src/machine/a.ts", "../open.ts", "layer"],
    ["node from the core", "src/open.ts", "./node/index.ts", "layer"],
    ["browser from the core", "src/open.ts", "./browser/index.ts", "layer"],
    ["browser from node", "src/node/index.ts", "../browser/index.ts", "layer"],
    ["node from browser", "src/browser/index.ts", "../node/index.ts", "layer"],
    ["server from cli's layer", "src/server/a.ts", "../cli/main.ts", "layer"],
    [
      "a concrete backend from the engine",
      "src/engine/a.ts",
      "../backend/wasm/backend.ts",
      "concrete backend",
    ],
    [
      "an implementation from the interface",
      "src/backend/a.ts",
      "./reference/backend.ts",
      "concrete backend",
    ],
    ["a concrete backend from open", "src/open.ts", "./backend/wasm/backend.ts", "concrete backend"],
    [
      "a concrete backend from the rest of the machine",
      "src/machine/doctor.ts",
      "../backend/wasm/backend.ts",
      "concrete backend",
    ],
    ["one implementation from another", "src/backend/webgpu/a.ts", "../wasm/backend.ts", "concrete backend"],
    ["a backend from a policy", "src/attention/policies/a.ts", "../../backend/wasm/a.ts", "concrete backend"],
    ["one policy from another", "src/attention/policies/a.ts", "./quest.ts", "no other policy"],
    ["a folder without a layer", "src/helpers/a.ts", "../base/errors.ts", "no layer"],
    ["a loose file without a layer", "src/helpers.ts", "./base/errors.ts", "no layer"],
    ["a folder outside src", "src/cli/a.ts", "../../eval/demo.ts", "no layer"],
    ["the engine's inside from eval", "eval/a.ts", "../src/engine/engine.ts", "may import only"],
    [
      "the engine's inside from bench's entry by eval",
      "eval/a.ts",
      "../src/node/internal.ts",
      "may import only",
    ],
    ["a backend from bench", "bench/kernels/a.ts", "../../src/backend/wasm/a.ts", "may import only"],
    ["the engine's inside from bench", "bench/webgpu/a.ts", "../../src/engine/a.ts", "may import only"],
    ["eval from bench", "bench/a.ts", "../eval/index.ts", "may import only"],
    ["the engine's inside from the page", "web/src/a.tsx", "../../src/engine/a.ts", "may import only"],
    ["the package's own sources from the page", "web/src/a.ts", "../../src/index.ts", "may import only"],
    ["a Node module in the page", "web/src/a.tsx", "node:fs", "runs in browsers"],
    [
      "an evaluation from the problems of the page",
      "eval/problems/a.ts",
      "../options.ts",
      "one another alone",
    ],
    ["a Node module in the core", "src/engine/a.ts", "node:fs", "runs in browsers"],
    ["a Node module in browsers", "src/browser/a.ts", "node:fs", "runs in browsers"],
    ["a bare Node module in the core", "src/load/a.ts", "fs/promises", "runs in browsers"],
    ["a Node module in the server", "src/server/app.ts", "node:http", "runs in browsers"],
  ])("refuses %s", (_, file, target, reason) => {
    const { problems } = check({ [file]: [target], "src/base/errors.ts": [] });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(reason);
    expect(problems[0]).toContain(`${file}: imports ${target}`);
  });

  it("lets a command load its part of eval when it runs, and only that", () => {
    const lazy = (target: string) => `const run = () => import("${target}");`;
    const files = { "eval/commands/eval.ts": [], "eval/tasks/graph.ts": [] };
    const from = (target: string) => check({ ...files, "src/cli/commands/a.ts": lazy(target) }).problems;
    expect(from("../../../eval/commands/eval.ts")).toEqual([]);
    expect(from("../../../eval/tasks/graph.ts")[0]).toContain("no layer");
    const { problems } = check({ ...files, "src/cli/commands/a.ts": ["../../../eval/commands/eval.ts"] });
    expect(problems[0]).toContain("when it runs");
  });

  it("refuses a cycle, type or value, within a folder", () => {
    const { problems } = check({
      "src/kv/a.ts": ["./b.ts"],
      "src/kv/b.ts": ["./c.ts"],
      "src/kv/c.ts": ["./a.ts"],
    });
    expect(problems).toEqual(["cycle: src/kv/a.ts > src/kv/b.ts > src/kv/c.ts > src/kv/a.ts"]);
  });

  it("refuses a cycle among AssemblyScript files, whose imports have no ending", () => {
    const { problems } = check({
      "src/backend/wasm/assembly/control.ts": ["./dispatch"],
      "src/backend/wasm/assembly/dispatch.ts": ["./linear", "../../../base/format-codes"],
      "src/backend/wasm/assembly/linear.ts": ["./control"],
      "src/base/format-codes.ts": [],
    });
    const [control, dispatch, linear] = ["control", "dispatch", "linear"].map(
      (name) => `src/backend/wasm/assembly/${name}.ts`,
    );
    expect(problems).toEqual([`cycle: ${control} > ${dispatch} > ${linear} > ${control}`]);
  });

  it("refuses an empty tree: it read nothing", () => {
    expect(check({}).problems[0]).toContain("no source files");
  });
});

describe("importsOf", () => {
  it("finds every form, over several lines", () => {
    const source = `#!/usr/bin/env node
import "./side-effect.ts";
import a from './a.ts';
import type { B } from "./b.ts";
import {
  c, // the third
  type D,
} from "./c.ts";
export * from "./d.ts";
export type { E } from "./e.ts";
export { f } from "./f.ts"; import g from "./g.ts";
const h = await import("./h.ts");
type I = import("./i.ts").I;
const j = () => import(
  "./j.ts"
);`;
    expect(importsOf(source).sort()).toEqual(
      ["side-effect", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map((name) => `./${name}.ts`).sort(),
    );
  });

  it("sees no import in comments, strings or other statements", () => {
    const source = `// import a from "./a.ts";
/* import b from "./b.ts";
import c from "./c.ts"; */
export const glob = "src/**/*.ts"; // no comment starts in the string
export const text = \`
import d from "./d.ts";\`;
export function from(x: string) { return x; }
export const important = from("./e.ts");
import real from "./real.ts";`;
    expect(importsOf(source)).toEqual(["./real.ts"]);
  });
});
