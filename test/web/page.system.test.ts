/** The demo page in headless Chromium on WebAssembly: what a person does with it. */
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { axeFaultsOf } from "./axe-faults.ts";
import {
  boxedAnswer,
  goldens,
  lastAnswer,
  launchOptions,
  PageTrial,
  ready,
  send,
  startExample,
  tokensSoFar,
  waitForTokens,
} from "./page-trial.ts";

/** Bytes of compressed script of the first load, without model and kernels. */
const MAX_SCRIPT_BYTES = 400_000;

describe.skipIf(launchOptions === undefined)("the page on WebAssembly", () => {
  const trial = new PageTrial();
  beforeAll(() => trial.start());
  afterEach(async () => {
    const errors = [...trial.errors];
    await trial.closePages();
    expect(errors).toEqual([]);
  });
  afterAll(() => trial.stop());
  const wasm = { settings: { backend: "wasm" } };

  test("solves the six golden problems with their right answers, and asks no other host", async () => {
    const page = await trial.open(wasm);
    const answers: string[] = [];
    for (const { problem } of goldens) {
      await send(page, problem);
      answers.push(await boxedAnswer(page));
    }
    expect(answers).toEqual(goldens.map(({ answer }) => answer));
    const { origin } = new URL(page.url());
    expect(trial.requests.length).toBeGreaterThan(10);
    expect(trial.requests.filter((url) => !url.startsWith(origin) && !/^(blob|data):/.test(url))).toEqual([]);
  });

  test("loads less than 400 kB of compressed script, and typesetting only with maths", async () => {
    const context = await trial.context({ ...wasm, serviceWorkers: "block" });
    const page = await context.newPage();
    const scripts: { url: string; size: number }[] = [];
    context.on("response", async (response) => {
      if (!/\.js$/.test(response.url())) return;
      scripts.push({ url: response.url(), size: gzipSync(await response.body()).length });
    });
    await page.goto(await trial.serve());
    await ready(page);
    const first = [...scripts];
    expect(first.map(({ url }) => url).filter((url) => /katex/i.test(url))).toEqual([]);
    expect(first.length).toBeGreaterThanOrEqual(2); // the page's and the worker's
    expect(first.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(MAX_SCRIPT_BYTES);
    await send(page, goldens[2]?.problem ?? "");
    expect(await boxedAnswer(page)).toBe("15");
    expect(scripts.filter(({ url }) => /katex/i.test(url))).toHaveLength(1);
    const fonts = trial.requests.filter((url) => /\.(woff2?|ttf)$/.test(url));
    expect(fonts.length).toBeGreaterThan(0);
  });

  test("streams an example problem and says that the answer is right; another policy is named in its figures", async () => {
    const page = await trial.open(wasm);
    await startExample(page, "Variables", 1024);
    await waitForTokens(page, 20);
    const early = await tokensSoFar(page);
    await waitForTokens(page, early + 50);
    await lastAnswer(page);
    await page.locator(".badge.right").waitFor();
    expect(await page.locator(".figures").innerText()).toContain("less-is-more:budget=256");
    await page.getByLabel("Attention", { exact: true }).selectOption("quest");
    await page.getByRole("slider", { name: /Budget/ }).fill("512");
    await page.getByRole("button", { name: "Retry" }).click();
    await page.locator(".figures", { hasText: "quest:budget=512" }).waitFor();
    await page.locator(".badge.right").waitFor();
  });

  test("a wrong answer is called wrong, with the right one beside it", async () => {
    const page = await trial.open({
      settings: {
        backend: "wasm",
        attention: { kind: "streaming-llm", budget: 64, spec: "" },
        thinking: { kind: "budget", tokens: 600 },
      },
    });
    await startExample(page, "Variables", 1024);
    await page.locator(".badge.wrong").first().waitFor();
    expect(await page.locator(".badge.wrong").first().innerText()).toMatch(/Wrong: the answer is \d+/);
  });

  test("stops and goes on with the tokens that the whole run has", async () => {
    const page = await trial.open(wasm);
    await startExample(page, "Variables", 2048);
    await waitForTokens(page, 60);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.", { exact: true }).waitFor();
    const stopped = await page.locator(".thoughts").innerText();
    await page.getByRole("button", { name: "Continue" }).click();
    await page.locator(".badge.right").waitFor();
    await page.locator(".reasoning summary").last().click();
    expect((await page.locator(".thoughts").innerText()).startsWith(stopped.trimEnd())).toBe(true);
  });

  test("a reload keeps the conversation and goes on with the run that it cut", async () => {
    const page = await trial.open(wasm);
    await startExample(page, "Variables", 2048);
    await waitForTokens(page, 250);
    await page.reload();
    await page.getByText("Cut by a reload").waitFor();
    const kept = await page.locator(".thoughts").innerText();
    expect(kept.length).toBeGreaterThan(100);
    await ready(page);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.locator(".badge.right").waitFor();
    await page.locator(".reasoning summary").last().click();
    expect((await page.locator(".thoughts").innerText()).startsWith(kept.trimEnd())).toBe(true);
  });

  test("edits a message, copies, starts another conversation and deletes one", async () => {
    const page = await trial.open(wasm);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await send(page, goldens[2]?.problem ?? "");
    expect(await boxedAnswer(page)).toBe("15");
    await page.locator(".message.assistant").getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("The answer is \\boxed{15}.");
    await page.locator(".message.user").getByRole("button", { name: "Edit" }).click();
    await send(page, goldens[4]?.problem ?? "");
    expect(await boxedAnswer(page)).toBe("46 91");
    expect(await page.locator(".message").count()).toBe(2);
    const sidebar = page.locator(".sidebar");
    await sidebar.getByRole("button", { name: "New conversation" }).click();
    await page.getByRole("button", { name: "Solve it" }).waitFor();
    expect(await sidebar.locator("li").count()).toBe(1);
    await sidebar.getByRole("button", { name: /^Delete/ }).click();
    await expect.poll(() => sidebar.locator("li").count()).toBe(0);
  });

  test("thinking may be off, or have a budget", async () => {
    const page = await trial.open(wasm);
    await page.getByLabel("Thinking", { exact: true }).selectOption("budget");
    await page.getByRole("slider", { name: /Thinking budget/ }).fill("100");
    await startExample(page, "Variables", 2048);
    await lastAnswer(page);
    expect(await tokensSoFar(page)).toBeLessThan(140);
    await page.getByLabel("Thinking", { exact: true }).selectOption("off");
    await page.getByRole("button", { name: "Retry" }).click();
    await lastAnswer(page);
    expect(await page.locator(".message.assistant .reasoning").count()).toBe(0);
  });

  test.each([
    "light",
    "dark",
  ] as const)("has no fault that axe finds, first and with an answer, in %s", async (colorScheme) => {
    const page = await trial.open({ ...wasm, colorScheme });
    await page.locator(".problem .primary:enabled").waitFor();
    expect(await axeFaultsOf(page)).toEqual([]);
    await send(page, goldens[2]?.problem ?? "");
    await boxedAnswer(page);
    expect(await axeFaultsOf(page)).toEqual([]);
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    await page.getByRole("dialog").waitFor();
    expect(await axeFaultsOf(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await expect.poll(() => page.getByRole("dialog").count()).toBe(0);
  });

  test("is used with the keyboard alone", async () => {
    const page = await trial.open({ ...wasm, reducedMotion: "reduce" });
    await page.locator(".problem .primary:enabled").waitFor();
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement?.textContent === "Solve it")) break;
    }
    await page.keyboard.press("Enter");
    await page.locator(".badge.right").waitFor();
  });

  test("fits a screen of 390 pixels, with the views behind tabs", async () => {
    const page = await trial.open({ ...wasm, viewport: { width: 390, height: 844 } });
    await page.locator(".problem .primary:enabled").click();
    await page.locator(".badge.right").waitFor();
    expect(await page.getByLabel("Thinking", { exact: true }).isVisible()).toBe(false);
    await page.getByRole("button", { name: /^Attention and thinking/ }).click();
    await page.getByLabel("Thinking", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Conversations" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^Find / })
      .waitFor();
    await page.keyboard.press("Escape");
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(await overflow()).toBeLessThanOrEqual(0);
    await page.locator(".page-tabs").getByRole("button", { name: "Attended" }).click();
    expect(await page.locator(".views").isVisible()).toBe(true);
    expect(await page.locator(".chat").isVisible()).toBe(false);
    expect(await overflow()).toBeLessThanOrEqual(0);
    expect(await axeFaultsOf(page)).toEqual([]);
    await page.locator(".page-tabs").getByRole("button", { name: "Speed" }).click();
    expect(await overflow()).toBeLessThanOrEqual(0);
    await page.locator(".page-tabs").getByRole("button", { name: "Chat" }).click();
    expect(await page.locator(".chat").isVisible()).toBe(true);
  });
});
