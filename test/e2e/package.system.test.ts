/** The tarball's exports and types, as publint, "are the types wrong?" and compilers of TypeScript see them. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, expect, it } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";
import { InstalledPackage } from "./installed-package.ts";

/** TypeScript 6 checks the declarations of the web and of all packages: 17 s on an idle core. */
const LIMIT_MS = 240_000;

let installed: InstalledPackage;
beforeAll(() => {
  installed = new InstalledPackage();
});
afterAll(() => installed?.remove());

it("publint finds nothing, not even a suggestion", async () => {
  const { buffer, byteOffset, length } = readFileSync(installed.tarball);
  const tarball = new Uint8Array(buffer, byteOffset, length).slice().buffer;
  const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
  expect(pkg.name).toBe("lessismore");
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
});

/**
 * The profile leaves out what the package does not offer: CommonJS files (Node 20.19 and later load these modules by `require`,
 * which test/e2e/package.test.ts proves; its "from CJS" column knows only older versions), and TypeScript's resolution "node10",
 * which reads no `exports`.
 */
it('"are the types wrong?" finds types for every entry, in Node and in bundlers', () => {
  const attw = repositoryPath("node_modules/@arethetypeswrong/cli/dist/index.js");
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [attw, installed.tarball, "--format", "json", ...args], {
      encoding: "utf8",
      timeout: 60_000,
      maxBuffer: 1 << 26,
    });
  const { status, stdout, stderr } = run("--profile", "esm-only");
  expect(status, stderr || stdout).toBe(0);
  const { analysis } = JSON.parse(stdout);
  expect(analysis.types).toMatchObject({ kind: "included" });
  const entries: Record<string, { resolutions: Record<string, { resolution?: { fileName: string } }> }> =
    analysis.entrypoints;
  expect(Object.keys(entries)).toHaveLength(7);
  for (const [entry, { resolutions }] of Object.entries(entries))
    for (const place of ["node16-esm", "bundler"])
      expect(resolutions[place]?.resolution?.fileName, `${entry} in ${place}`).toMatch(/\.d\.ts$/);
});

const PROGRAM = `
import { lessIsMore, openEngine, type AttentionPolicy, type GenerationResult } from "lessismore";
import { createLessIsMore, type LessIsMoreProvider } from "lessismore/ai-sdk";
import { openEngine as openInPage } from "lessismore/browser";
import { isCorrect, type Problem } from "lessismore/eval";
import { type ListedGpu, listGpus } from "lessismore/node";
import { InferenceServer, listen } from "lessismore/server";
import { openEngineInWorker } from "lessismore/worker";

export async function solve(model: string): Promise<GenerationResult> {
  const engine = await openEngine({ model, attention: lessIsMore({ tokenBudget: 256, selectionLayers: [2, 7] }) });
  return engine.generate({ messages: [{ role: "user", content: "a" }], thinkingBudget: 5 }).result();
}
export const provider: LessIsMoreProvider<"v3"> = createLessIsMore({ engine: await openEngineInWorker({ model: "a" }) });
export const gpus: Promise<readonly ListedGpu[]> = listGpus();
export const server = new InferenceServer({ modelName: "a" });
export const listening = listen(server.fetch, { host: "127.0.0.1", port: 0 });
export const inPage = openInPage({ model: new URL("https://example.com/model/"), backend: "wasm" });
export function judge(problem: Problem, policy: AttentionPolicy): string {
  return \`\${policy.name} \${isCorrect(problem, "1")}\`;
}
// @ts-expect-error: types are found, and are not any
openEngine({ model: 1 });
`;

it.each([
  ["typescript", "nodenext", "nodenext"],
  ["typescript", "bundler", "esnext"],
  ["typescript-6", "nodenext", "nodenext"],
])(
  "%s accepts the types in a strict program, those of the package included, by resolution %s",
  (compiler, moduleResolution, module) => {
    installed.write("program.mts", PROGRAM);
    const compilerOptions = {
      ...{
        module,
        moduleResolution,
        target: "es2022",
        lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
      },
      ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true },
      ...{ types: ["node"], typeRoots: [repositoryPath("node_modules/@types")] },
    };
    installed.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["program.mts"] }));
    const tsc = repositoryPath(`node_modules/${compiler}/bin/tsc`);
    const { status, stdout } = installed.node([tsc, "-p", "tsconfig.json"]);
    expect(stdout).toBe("");
    expect(status).toBe(0);
  },
  LIMIT_MS,
);
