/** The selection view, the speed view and the race in headless Chromium, fed by runs of the bundled model. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { chromiumLaunchOptions } from "../../scripts/chromium.mjs";
import type {} from "../../web/src/views-page/under-test.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { recordRun } from "./record-run.ts";
import { quantile, traceFrames } from "./trace-frames.ts";
import { serveViews } from "./views-site.ts";

const WAIT_MS = 100_000;
/** SwiftShader compiles the kernels in half a minute, beside a busy machine in two. */
const EMULATED_MS = 240_000;
const WIDE: BrowserContextOptions = { viewport: { width: 1100, height: 1000 } };
const NUM_TOKENS = 8000;
const PROMPT_TOKENS = 6800;
/** A point of the overview whose token came late enough to have a step. */
const LATE = { position: { x: 300, y: 70 } };
/** Greedy, past the end of the answer. */
const LIVE = "?backend=wasm&maxTokens=300&forced=1&view=selection";

const launchOptions = chromiumLaunchOptions();
if (launchOptions === undefined && inject("requiresWebGpu"))
  throw new Error("LESSISMORE_REQUIRE_WEBGPU=1 and no Chromium to test in (CONTRIBUTING.md)");

const [golden] = JSON.parse(readFileSync(repositoryPath("test/golden/pico-reasoner.json"), "utf8")) as {
  readonly prompt: string;
}[];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A claim that becomes true within half a minute: a busy machine renders late. */
function soon<T>(value: () => Promise<T>) {
  return expect.poll(value, { timeout: 30_000 });
}

describe.skipIf(launchOptions === undefined)("the views", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-views-"));
  let browser: Browser | undefined;
  let site: Awaited<ReturnType<typeof serveViews>> | undefined;
  let errors: unknown[] = [];
  let strangers: string[] = [];

  beforeAll(async () => {
    // a long prompt makes it short: prefill is fast, and steps of 8,000 tokens are not
    const recording = await recordRun(golden?.prompt ?? "", "less-is-more:budget=256,layers=2+7", {
      ...{ promptTokens: PROMPT_TOKENS, numTokens: NUM_TOKENS, every: 4 },
    });
    site = await serveViews(join(folder, "site"), recording);
    browser = await chromium.launch({ ...launchOptions, timeout: WAIT_MS });
  }, 600_000);
  afterEach(async () => {
    for (const context of browser?.contexts() ?? []) await context.close();
    expect([errors, strangers]).toEqual([[], []]);
    [errors, strangers] = [[], []];
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(query: string, options: BrowserContextOptions = WIDE): Promise<Page> {
    if (!browser || !site) throw new Error("Chromium did not start");
    const page = await (await browser.newContext(options)).newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on("pageerror", (error) => errors.push(error));
    const { origin } = new URL(site.url);
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && url.protocol !== "blob:" && url.protocol !== "data:")
        strangers.push(request.url());
    });
    await page.goto(site.url + query);
    return page;
  }

  async function ended(page: Page): Promise<void> {
    await page.waitForFunction(() => views.error ?? (views.record && views.record.state !== "running"));
    expect(await page.evaluate(() => views.error)).toBeUndefined();
    // two frames for what the end changes
    await page.evaluate(
      () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
    );
  }

  /** Colours of a canvas by how many pixels have them, the most frequent first. */
  const coloursOf = (page: Page, selector: string) =>
    page.locator(selector).evaluate((canvas: HTMLCanvasElement) => {
      const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
      const counts = new Map<string, number>();
      for (let i = 0; i < pixels.length; i += 4) {
        const colour = `${pixels[i]} ${pixels[i + 1]} ${pixels[i + 2]}`;
        if (pixels[i + 3] === 255) counts.set(colour, (counts.get(colour) ?? 0) + 1);
      }
      return [...counts].sort(([, a], [, b]) => b - a).map(([colour]) => colour);
    });

  /** Violations that axe finds. */
  async function violations(page: Page): Promise<readonly string[]> {
    await page.evaluate(axe);
    return page.evaluate(async () => {
      const { axe: tester } = globalThis as unknown as {
        readonly axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      };
      return (await tester.run()).violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
    });
  }

  test("a run colours its tokens while they come; a chosen step shows what its layers saw and by which head", async () => {
    const page = await open(LIVE);
    await page.waitForFunction(() => (views.record?.numSets ?? 0) > 20);
    expect((await coloursOf(page, ".strip-overview")).length).toBeGreaterThan(10);
    await ended(page);
    const strip = page.getByRole("slider");
    await soon(() => strip.getAttribute("aria-valuetext")).toMatch(/334 tokens.*Decoding has read \d+%/);

    await strip.focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await soon(() => strip.getAttribute("aria-valuenow")).toBe("331");
    expect(await strip.getAttribute("aria-valuetext")).toContain("Layers 3 to 6: 128 of 332 tokens");
    const seen = await page.evaluate(() => {
      const step = views.record?.stepAt(331);
      const selection = step?.selections[0];
      return {
        heads: [...(selection?.heads ?? [])],
        ends: selection?.ends,
        numSets: step?.selections.length,
      };
    });
    expect(seen.numSets).toBe(2);
    expect(seen.heads).toHaveLength(128);
    const kept = (seen.ends?.sinks ?? 0) + (seen.ends?.recent ?? 0);
    expect(kept).toBe(32);
    const legend = await page.locator(".selection-legend").innerText();
    for (let head = 0; head < 8; head++) {
      const count = seen.heads.filter((one) => one === head).length;
      if (count > 0) expect(legend).toMatch(new RegExp(`Head ${head}\\s+${count}`));
    }
    expect(legend).toMatch(/always kept\s+32/);
    // colours of several heads are on the canvas now
    const distinct = new Set(seen.heads).size;
    expect((await coloursOf(page, ".strip-overview")).length).toBeGreaterThanOrEqual(Math.min(distinct, 5));
    await page.getByText("The tokens as a table").click();
    await soon(() => page.locator(".table-scroller tbody tr").count()).toBe(128);
    await page.getByLabel("Layers 0, 1").check();
    await soon(() => page.locator(".table-scroller").count()).toBe(0);
    await strip.focus();
    await page.keyboard.press("Home");
    await soon(() => page.locator(".step-detail").innerText()).toContain("Tokens of the prompt");
    await page.keyboard.press("Escape");
    await soon(() => page.locator(".step-detail").count()).toBe(0);
  });

  test(
    "on WebGPU a run has heads in each selection, too",
    async () => {
      const attention = encodeURIComponent("less-is-more:budget=64,layers=2+7");
      const page = await open(`?backend=webgpu&maxTokens=50&forced=1&view=selection&attention=${attention}`);
      page.setDefaultTimeout(EMULATED_MS);
      await ended(page);
      const seen = await page.evaluate(() => {
        const step = views.record?.stepAt(80);
        return step?.selections.map(({ heads, sets }) => [
          sets[0]?.length,
          new Set(heads).size,
          step.isSparse,
        ]);
      });
      expect(seen).toHaveLength(2);
      for (const [tokens, heads, isSparse] of seen ?? []) {
        expect([tokens, isSparse]).toEqual([64, true]);
        expect(heads).toBeGreaterThan(3);
      }
    },
    EMULATED_MS,
  );

  test("a click on the overview chooses the step there, and the strip scrolls to it", async () => {
    const page = await open("?source=recording&view=selection");
    await ended(page);
    await page.locator(".strip-overview").click(LATE);
    const heading = await page.locator(".step-head h3").innerText();
    const chosen = Number(await page.getByRole("slider").getAttribute("aria-valuenow"));
    expect(chosen).toBeGreaterThan(PROMPT_TOKENS);
    expect(chosen).toBeLessThan(NUM_TOKENS);
    await soon(() => page.locator(".strip-scroller").evaluate(({ scrollTop }) => scrollTop)).toBeGreaterThan(
      0,
    );
    expect(heading).toContain(chosen.toLocaleString("en"));
    await page.getByRole("button", { name: "Follow the newest" }).click();
    await soon(() =>
      page
        .locator(".strip-scroller")
        .evaluate((e) => Math.abs(e.scrollHeight - e.clientHeight - e.scrollTop)),
    ).toBeLessThan(3);
  });

  test("at 8,000 tokens the script of 95 of 100 frames fits a frame of 60 Hz, by the thread's own clock", async () => {
    const query = "?source=recording&view=selection&every=3&from=300";
    const page = await open(query);
    await page.waitForFunction(() => (views.record?.length ?? 0) > 7050);
    const before = await page.evaluate(() => views.frameMs.length);
    const frames = await traceFrames(page, () => ended(page));
    expect(await page.evaluate(() => views.record?.length)).toBe(NUM_TOKENS);
    const painted = (await page.evaluate(() => views.frameMs.length)) - before;
    expect(painted).toBeGreaterThan(20);
    // frames without a paint, such as those of effects, would make it look better than it is
    const paints = frames.slice(-Math.min(painted, frames.length));
    console.log(
      `frames at 7,000 to 8,000 tokens: ${paints.length}, script p50 ${quantile(paints, 0.5).toFixed(2)} ms, ` +
        `p95 ${quantile(paints, 0.95).toFixed(2)} ms, max ${quantile(paints, 1).toFixed(2)} ms`,
    );
    // 2 to 3.3 ms on two cores of a server; a machine that others use takes longer
    expect(quantile(paints, 0.95)).toBeLessThan(16);
  });

  test.each([
    "light",
    "dark",
  ] as const)("axe finds nothing in %s, with a step and its table open", async (colorScheme) => {
    const page = await open("?source=recording", { ...WIDE, colorScheme });
    await ended(page);
    expect(await violations(page)).toEqual([]);
    await page.locator(".strip-overview").click(LATE);
    await page.locator(".step-head").waitFor();
    for (const summary of await page.locator("summary").all()) await summary.click();
    await page.locator(".table-scroller").waitFor();
    expect(await violations(page)).toEqual([]);
  });

  test("at 390 pixels nothing is wider than the screen, and a tap chooses a token", async () => {
    const page = await open("?source=recording", { viewport: { width: 390, height: 800 }, hasTouch: true });
    await ended(page);
    await page.locator(".strip-scroller").tap({ position: { x: 100, y: 50 } });
    await soon(() => page.locator(".step-head").count()).toBe(1);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });

  test("with reduced motion at most three frames a second show new tokens", async () => {
    const page = await open(`${LIVE}&maxTokens=1200`, { ...WIDE, reducedMotion: "reduce" });
    await page.waitForFunction(() => (views.record?.times.length ?? 0) > 5);
    const [before, started] = await page.evaluate(() => [views.frameMs.length, performance.now()] as const);
    await page.waitForFunction(() => views.record?.state !== "running");
    const [after, now] = await page.evaluate(() => [views.frameMs.length, performance.now()] as const);
    expect(after - before).toBeLessThanOrEqual(4 + (3 * (now - started)) / 1000);
  });

  test("a race runs both one after the other, with both lines and figures, greedy and to the same end", async () => {
    const prompt = encodeURIComponent(golden?.prompt ?? "");
    const attention = encodeURIComponent("less-is-more:budget=64,layers=2+7");
    const page = await open(`?backend=wasm&view=speed&maxTokens=20&prompt=${prompt}&attention=${attention}`);
    await ended(page);
    await page.getByRole("button", { name: "Race against full attention" }).click();
    await page.waitForFunction(() => ["done", "failed", "stopped"].includes(views.race?.phase.name ?? ""));
    const runs = await page.evaluate(() => ({
      phase: views.race?.phase,
      runs: views.race?.runs.map((run) => ({
        ...{ attention: run.attention, tokens: run.times.length, fraction: run.attendedFraction },
        cached: run.result?.usage.cachedTokens,
        finish: run.result?.finishReason,
      })),
    }));
    expect(runs.phase).toEqual({ name: "done" });
    expect(runs.runs?.map(({ attention: name, cached }) => [name, cached])).toEqual([
      ["less-is-more:budget=64,layers=2+7", 0],
      ["full", 0],
    ]);
    expect(runs.runs?.map(({ tokens }) => tokens)).toEqual([20, 20]);
    expect(runs.runs?.[0]?.fraction).toBeLessThan(1);
    expect(runs.runs?.[1]?.fraction).toBe(1);
    const table = page.getByRole("table", { name: "Figures" });
    await soon(() => table.innerText()).toMatch(/20 \(done\)\s+20 \(done\)/);
    expect(await table.innerText()).toMatch(/Cache read\s+\d+(\.\d)?%\s+100%/);
    const chart = page.getByRole("img");
    expect(await chart.getAttribute("aria-label")).toMatch(/less-is-more.*ms\. full: .*ms\./);
    await soon(() => chart.locator("canvas").count()).toBe(1);
    expect(await page.locator(".engine-figures").innerText()).toContain("wasm: WebAssembly");
  });

  test("a race can be stopped", async () => {
    const page = await open("?backend=wasm&view=speed&maxTokens=3000&prompt=a");
    await page.waitForFunction(() => views.record !== undefined);
    await ended(page);
    await page.getByRole("button", { name: "Race against full attention" }).click();
    await page.getByRole("button", { name: "Stop the race" }).click();
    await soon(() => page.locator(".race").innerText()).toContain("The race was stopped.");
    expect(await page.evaluate(() => views.race?.runs.map(({ state }) => state))).not.toContain("running");
  });
});
