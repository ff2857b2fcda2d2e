/**
 * The package in a page as users build it: Vite bundles it through the package's exports, a loopback server serves it,
 * and headless Chromium runs it.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright";
import { build, type PreviewServer, preview } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { chromiumLaunchOptions } from "../../scripts/chromium.mjs";
import { repositoryPath } from "../golden/open-fixture.ts";
import type { PageOutcome, Solution } from "./page/outcome.ts";

const WAIT_MS = 100_000; // SwiftShader beside a busy machine

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

interface Golden {
  readonly prompt: string;
  readonly greedy_text: string;
}

const launchOptions = chromiumLaunchOptions();
if (launchOptions === undefined && inject("requiresWebGpu"))
  throw new Error("LESSISMORE_REQUIRE_WEBGPU=1 and no Chromium to test in (CONTRIBUTING.md)");

const goldens: Golden[] = JSON.parse(readFileSync(repositoryPath("test/golden/pico-reasoner.json"), "utf8"));
const golden = goldens[3];

describe.skipIf(launchOptions === undefined)("a page built with Vite", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-page-"));
  const servers: PreviewServer[] = [];
  let browser: Browser | undefined;

  beforeAll(async () => {
    browser = await chromium.launch({ ...launchOptions, timeout: WAIT_MS });
    await buildPage(repositoryPath("test/e2e/page"), join(folder, "page"));
  });
  afterEach(async () => {
    for (const context of browser?.contexts() ?? []) await context.close();
    for (const server of servers.splice(0)) await server.close();
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Builds the index.html of a folder and links the models beside it. */
  async function buildPage(root: string, outDir: string): Promise<void> {
    await build({ root, configFile: false, logLevel: "error", build: { outDir, target: "es2022" } });
    symlinkSync(repositoryPath("models"), join(outDir, "models"));
  }

  /**
   * Serves a built page with the given headers, opens it, and waits for a condition. An uncaught error of the page ends
   * the wait.
   */
  async function open(
    outDir: string,
    headers: Record<string, string>,
    query: string,
    isDone: () => boolean,
  ): Promise<Page> {
    const server = await preview({
      configFile: false,
      logLevel: "error",
      build: { outDir },
      preview: { host: "127.0.0.1", port: 0, headers },
    });
    servers.push(server);
    if (!browser) throw new Error("Chromium did not start");
    const page = await browser.newPage();
    page.setDefaultTimeout(WAIT_MS);
    const failed = new Promise<never>((_, reject) => page.once("pageerror", reject));
    await Promise.race([page.goto(`${server.resolvedUrls?.local[0]}${query}`), failed]);
    await Promise.race([page.waitForFunction(isDone), failed]);
    return page;
  }

  async function solve(
    headers: Record<string, string>,
    place: "page" | "worker" | "package" = "page",
  ): Promise<{ page: Page; outcome: PageOutcome }> {
    const query = `?prompt=${encodeURIComponent(golden.prompt)}&place=${place}`;
    const page = await open(join(folder, "page"), headers, query, () => globalThis.outcome !== undefined);
    const outcome = await page.evaluate(() => globalThis.outcome);
    if (!outcome) throw new Error("the page left no outcome");
    return { page, outcome };
  }

  /** Checks for the golden text, streamed, with attention to part of the cache. */
  function expectGolden(outcome: PageOutcome): Solution {
    if ("error" in outcome) throw new Error(outcome.error);
    expect(`${outcome.text}<|im_end|>`).toBe(golden.greedy_text);
    expect(outcome.attendedFraction).toBeLessThan(0.7);
    expect(outcome.partsAtMs.length).toBeGreaterThan(50);
    expect(outcome.partsAtMs[0]).toBeLessThan((outcome.partsAtMs.at(-1) ?? 0) / 2);
    return outcome;
  }

  test.each([
    "page",
    "worker",
    "package",
  ] as const)("streams the golden text of LessIsMore on auto, isolated, in a %s, on all cores", async (place) => {
    const { page, outcome } = await solve(ISOLATED, place);
    const { backend } = expectGolden(outcome);
    const [reasoning, answer] = golden.greedy_text.replace("<|im_end|>", "").split("</think>");
    expect(await page.textContent("#reasoning")).toBe(reasoning?.trimEnd());
    expect(await page.textContent("#answer")).toBe(answer?.trim());
    const cores = await page.evaluate(() => navigator.hardwareConcurrency);
    expect(backend).toMatch(
      new RegExp(`^(webgpu: .*auto: a GPU is there|wasm: .*, ${cores} threads?.* CPU)`),
    );
  });

  test("streams the same on a page that is not isolated, with the reason for one thread in the report", async () => {
    const { backend } = expectGolden((await solve({})).outcome);
    expect(backend).toMatch(/^(webgpu|wasm: WebAssembly, relaxed SIMD, 1 thread \(the page is not)/);
  });

  test("names the content security policy that blocks threads", async () => {
    const { outcome } = await solve({ ...ISOLATED, "Content-Security-Policy": "worker-src 'self'" });
    // a GPU needs no workers
    if ("backend" in outcome && outcome.backend.startsWith("webgpu")) expectGolden(outcome);
    else expect("error" in outcome && outcome.error).toMatch(/BackendError.*must allow worker-src blob:/);
  });

  test("runs the README's example", async () => {
    const readme = readFileSync(repositoryPath("README.md"), "utf8");
    const code = /^## In the browser$[\s\S]*?^```ts$([\s\S]*?)^```$/m.exec(readme)?.[1];
    if (!code) throw new Error("README.md has no code under In the browser");
    // within the checkout, where the package can import itself by name
    const root = mkdtempSync(repositoryPath("dist/readme-"));
    try {
      writeFileSync(join(root, "main.ts"), code);
      writeFileSync(
        join(root, "index.html"),
        '<!doctype html><body><script type="module" src="./main.ts"></script>',
      );
      mkdirSync(join(folder, "readme"));
      await buildPage(root, join(folder, "readme"));
    } finally {
      rmSync(root, { recursive: true });
    }
    const isDone = () => document.body.textContent?.includes("\\boxed{33}") ?? false;
    await open(join(folder, "readme"), ISOLATED, "", isDone);
  });
});
