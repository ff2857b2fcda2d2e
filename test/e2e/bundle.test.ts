import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = join(ROOT, "dist/bundle/node");

/** Runs a module that imports the package by its name, as a program that depends on it does. */
function evaluate(script: string): string {
  const args = ["--input-type=module", "--eval", script];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: "utf8",
    timeout: 60_000,
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout.trim();
}

/** The files that a file of the bundle loads before it runs. */
function loadedWith(file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(join(FOLDER, file), "utf8");
  for (const [, other] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g))
    if (other !== undefined) loadedWith(other, seen);
  return seen;
}

describe("the bundle for Node", () => {
  it("has the same classes in every entry of the package", () => {
    const script = `
      import * as main from "lessismore";
      import * as node from "lessismore/node";
      import * as evaluation from "lessismore/eval";
      const failed = await main.openEngine({ model: "./nothing-here" }).catch((error) => error);
      console.log(main.openEngine === node.openEngine, failed instanceof node.ModelFileError, typeof evaluation.evaluate);`;
    expect(evaluate(script)).toBe("true true function");
  });

  it("finds the kernels and the bundled model, and ends threads that no backend took", () => {
    const script = `
      import { openEngine } from "lessismore";
      await openEngine({ model: "./package.json", backend: "wasm", threads: 2 }).catch(() => {});
      const engine = await openEngine({ backend: "wasm", threads: 2 });
      const { text } = await engine.generate({ prompt: "a", maxTokens: 2, ignoreEos: true }).result();
      console.log(engine.report().backend.threads, text.length > 0);
      await engine.close();`;
    expect(evaluate(script)).toBe("2 true");
  });

  it("runs the server of a program of one's own, as docs/serving.md has it", () => {
    const page = readFileSync(join(ROOT, "docs/serving.md"), "utf8");
    const example = /```js\n(import \{ InferenceServer[\s\S]*?)```/.exec(page)?.[1] ?? "";
    const ask = `
      const post = (path, body, headers = {}) => fetch(listening.url + path, { method: "POST", body: JSON.stringify(body),
        headers: { "Content-Type": "application/json", ...headers } });
      const body = { messages: [{ role: "user", content: "a" }], max_tokens: 3, ignore_eos: true };
      const { usage } = await (await post("/v1/chat/completions", body, { Authorization: "Bearer a key" })).json();
      const mounted = await server.fetch(new Request("http://localhost/health"));
      console.log((await post("/v1/chat/completions", body)).status, usage.completion_tokens, (await mounted.json()).status);`;
    expect(example).toContain("// until the program ends");
    const program = example.replace("port: 8000", "port: 0").replace("// until the program ends", ask);
    expect(evaluate(program)).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1\n401 3 ok$/);
    const wrong = `
      import { ConfigError } from "lessismore";
      import { InferenceServer } from "lessismore/server";
      for (const options of [{ modelName: "a", apiKey: "b" }, {}, { modelName: "a\\nb" }, { modelName: "a", maxQueue: 0 }])
        try { new InferenceServer(options); } catch (error) { console.log(error instanceof ConfigError, error.message); }`;
    expect(evaluate(wrong).split("\n")).toEqual([
      'true InferenceServer: unknown option "apiKey"; did you mean "apiKeys"?',
      expect.stringContaining("true InferenceServer: modelName must be a name that is not empty"),
      expect.stringContaining("true InferenceServer: modelName must be a name that is not empty"),
      expect.stringContaining("true InferenceServer: maxQueue must be a whole number of at least 1"),
    ]);
  });

  it("loads the WebGPU kernels only for a GPU", () => {
    const files = [...loadedWith("main.js")];
    expect(files.length).toBeGreaterThan(1);
    for (const file of files) expect(readFileSync(join(FOLDER, file), "utf8")).not.toContain("@compute");
  });

  it("loads the compiler of constraints only for a request that has one", () => {
    const isCompiler = (file: string) => readFileSync(join(FOLDER, file), "utf8").includes("prefixItems");
    for (const entry of ["main.js", "index.js"])
      expect([...loadedWith(entry)].filter(isCompiler), entry).toEqual([]);
    expect(readdirSync(FOLDER).some((file) => file.endsWith(".js") && isCompiler(file))).toBe(true);
  });

  it("keeps lines short enough to print", () => {
    for (const file of loadedWith("main.js"))
      for (const line of readFileSync(join(FOLDER, file), "utf8").split("\n"))
        expect(line.length).toBeLessThan(2000);
  });

  it("has source maps that lead to the sources, and the licences of what it holds", () => {
    for (const file of loadedWith("main.js")) {
      if (file.startsWith("rolldown-runtime")) continue; // the bundler's own, of no source
      const map = JSON.parse(readFileSync(join(FOLDER, `${file}.map`), "utf8"));
      const sources: readonly string[] = map.sources;
      expect(sources.some((source) => source.endsWith(".ts"))).toBe(true);
      for (const source of sources) expect(existsSync(join(dirname(join(FOLDER, file)), source))).toBe(true);
    }
    const licences = readFileSync(join(FOLDER, "licences.txt"), "utf8");
    for (const name of ["commander", "valibot", "fastest-levenshtein"])
      expect(licences).toContain(`${name} `);
  });
});
