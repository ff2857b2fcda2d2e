/** Answers of the demo page in headless Chromium: Markdown and maths, as they come and when they are there, and what must not work in them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type {} from "../../web/src/answers-page/under-test.ts";
import { HOSTILE, SAMPLE } from "./answer-samples.ts";
import { axeFaultsOf } from "./axe-faults.ts";
import { longestOf, mainThreadTasks } from "./main-thread-tasks.ts";
import { launchOptions, type OpenOptions, PageTrial } from "./page-trial.ts";
import { serveAnswers } from "./views-site.ts";

const MAX_TASK_MS = 50;
/** A task of ours is long in every attempt; one that a busy machine holds up, or a full collection of garbage, is not. */
const MAX_ATTEMPTS = 3;
/** 4,000 tokens of four characters. */
const LONG = 16_000;
/** Ten tokens: no model is as fast. */
const CHARACTERS_PER_FRAME = 40;

/** Puts a conversation with an answer where the page keeps them. */
async function keepAnswer(page: Page, answer: string): Promise<void> {
  await page.evaluate(async (kept) => {
    const settings = { model: "pico-reasoner", attention: "full", thinking: { kind: "free" }, seed: 1 };
    const messages = [
      { role: "user", id: "asked", content: "What is the sum of the first n squares?" },
      ...[{ role: "assistant", id: "answer", state: "done", reasoning: "Let me see.", answer: kept }].map(
        (message) => ({ ...message, settings, tokenIds: [1, 2, 3] }),
      ),
    ];
    const opening = indexedDB.open("lessismore", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("conversations", { keyPath: "id" });
    await new Promise((resolve) => (opening.onsuccess = resolve));
    const change = opening.result.transaction("conversations", "readwrite");
    change
      .objectStore("conversations")
      .put({ id: "kept", title: "Squares", updatedAt: Date.now(), messages });
    await new Promise((resolve) => (change.oncomplete = resolve));
    opening.result.close();
  }, answer);
}

describe.skipIf(launchOptions === undefined)("answers of the page", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-answers-"));
  const trial = new PageTrial();
  beforeAll(() => trial.start());
  afterEach(async () => {
    const errors = [...trial.errors];
    await trial.closePages();
    expect(errors).toEqual([]);
  });
  afterAll(async () => {
    await trial.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The page with an answer that it has kept. */
  async function openWith(answer: string, options: OpenOptions = {}): Promise<Page> {
    // the model may still be opening: nothing here needs it
    const context = await trial.context({
      ...{ settings: { backend: "one-thread" }, serviceWorkers: "block", ...options },
    });
    const page = await context.newPage();
    await page.goto(await trial.serve());
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    await keepAnswer(page, answer);
    await page.reload();
    await page.locator(".answer .katex").first().waitFor();
    return page;
  }

  test("have headings, lists, tables, code, links and maths; code is copied as it is, the answer as its source", async () => {
    const page = await openWith(SAMPLE);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const answer = page.locator(".answer");
    expect(await answer.locator("h2, h3").allInnerTexts()).toEqual([
      "The sum of the first n squares",
      "Values",
      "In code",
    ]);
    expect(await answer.locator("ol > li").count()).toBe(3);
    expect(await answer.locator("ol ul > li").count()).toBe(2);
    expect(await answer.locator("tbody tr").count()).toBe(3);
    expect(await answer.locator("td .katex").count()).toBe(3);
    expect(await answer.locator(".katex-display").count()).toBe(3);
    expect(await answer.locator("pre .katex, .katex-error").count()).toBe(0);
    expect(await answer.innerText()).toContain("costs $5 and $6 nowhere");
    expect(await answer.locator("a").getAttribute("rel")).toContain("noopener noreferrer");
    expect(await answer.locator("a").getAttribute("target")).toBe("_blank");
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    await answer.getByRole("button", { name: "Copy code" }).click();
    await answer.getByRole("button", { name: "Copied" }).waitFor();
    expect(await clipboard()).toBe(/```python\n([\s\S]*?)\n```/.exec(SAMPLE)?.[1]);
    await page.locator(".assistant .actions").getByRole("button", { name: "Copy" }).click();
    await page.locator(".assistant .actions").getByRole("button", { name: "Copied" }).waitFor();
    expect(await clipboard()).toBe(SAMPLE);
  });

  test.each([
    "light",
    "dark",
  ] as const)("have no fault that axe finds, wide and at 390 pixels, in %s", async (colorScheme) => {
    const page = await openWith(SAMPLE, { colorScheme });
    expect(await axeFaultsOf(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await axeFaultsOf(page)).toEqual([]);
  });

  test("at 390 pixels scroll in their own boxes, which the keyboard reaches, and no wider than the screen", async () => {
    const page = await openWith(SAMPLE, { viewport: { width: 390, height: 844 } });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(await page.locator(".messages").evaluate((box) => box.scrollWidth - box.clientWidth)).toBe(0);
    const code = page.getByRole("group", { name: "Code, python" });
    await code.focus();
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => code.evaluate((box) => box.scrollLeft)).toBeGreaterThan(0);
    expect(await page.getByRole("group", { name: "Formula" }).count()).toBeGreaterThan(0);
    await page.setViewportSize({ width: 1440, height: 900 });
    await expect.poll(() => page.getByRole("group", { name: "Formula" }).count()).toBeLessThan(2);
  });

  test("run nothing, ask no host, cover nothing and lead to nothing but pages, whatever they say", async () => {
    const page = await openWith(HOSTILE);
    const { origin } = new URL(page.url());
    const answer = page.locator(".answer");
    await answer.getByText("The end.").waitFor();
    await page.waitForTimeout(500); // what would run, runs after its elements are there
    expect(await page.evaluate(() => (globalThis as { evil?: unknown }).evil)).toBeUndefined();
    expect(trial.requests.filter((url) => !url.startsWith(origin) && !/^(blob|data):/.test(url))).toEqual([]);
    const found = await answer.evaluate((root) => {
      const elements = [...root.querySelectorAll("*")];
      return {
        forbidden: elements
          .map(({ localName }) => localName)
          .filter((name) =>
            /^(script|img|style|iframe|object|embed|link|form|input|audio|video|base|use|image)$/.test(name),
          ),
        handlers: elements.flatMap((element) =>
          [...element.attributes]
            .map(({ name }) => name)
            .filter((name) => /^on|^srcdoc$|^formaction$/i.test(name)),
        ),
        links: [...root.querySelectorAll("a")].map(
          ({ protocol, target, rel }) => `${protocol} ${target} ${rel}`,
        ),
        nested: root.querySelectorAll("a a").length,
        typeset: root.querySelectorAll(".katex").length,
      };
    });
    expect(found).toMatchObject({ forbidden: [], handlers: [], nested: 0 });
    expect(found.typeset).toBeGreaterThan(5);
    expect(new Set(found.links)).toEqual(new Set(["https: _blank noopener noreferrer nofollow"]));
    expect(await answer.innerText()).toContain("<script>globalThis.evil = 1</script>");
    // nothing of the answer is over the buttons around it
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click({ trial: true });
    await page.getByRole("textbox", { name: "Message" }).click({ trial: true });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(1440);
  });

  test.each([
    ["all kinds of blocks", SAMPLE],
    ["one list", "- item **bold** text `code`, $x^2$ and more\n"],
    ["one table", `| a | b |\n|---|---|\n${"| item **bold** | text `code`, $x^2$ and more |\n".repeat(40)}`],
    ["one block of code", `\`\`\`js\n${"const a = 1; // and more\n".repeat(700)}`],
    ["one paragraph", "word **bold** text `code` and _more_ "],
  ])(`of 4,000 tokens come without a task of ${MAX_TASK_MS} ms: %s`, async (_, piece) => {
    const isOne = piece.startsWith("|");
    const text = isOne
      ? piece + "| item **bold** | text `code` and more |\n".repeat(400)
      : piece.repeat(Math.ceil(LONG / piece.length));
    const site = await serveAnswers(join(folder, String(text.length)));
    try {
      let longest = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < MAX_ATTEMPTS && longest >= MAX_TASK_MS; attempt++) {
        const page = await (await trial.context()).newPage();
        await page.goto(site.url);
        await page.evaluate(() => streamAnswer("$x$", 1)); // loads what typesets
        await page.locator(".katex").waitFor();
        await trial.browser.startTracing(page, { categories: ["-*", "toplevel"] });
        await page.evaluate(([all, step]) => streamAnswer(all, step), [
          text.slice(0, LONG),
          CHARACTERS_PER_FRAME,
        ] as const);
        const tasks = mainThreadTasks(await trial.browser.stopTracing());
        expect(tasks.length).toBeGreaterThan(LONG / CHARACTERS_PER_FRAME);
        console.log(`longest tasks of the page's thread: ${longestOf(tasks)}`);
        longest = tasks[0] as number;
        expect((await page.locator(".answer").innerText()).length).toBeGreaterThan(LONG / 3);
        await page.close();
      }
      expect(longest).toBeLessThan(MAX_TASK_MS);
    } finally {
      await site.close();
    }
  });
});
