/** The demo page on hosts and in browsers that lack something: headers, a network, storage, a free tab. */
import type { BrowserContext } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { boxedAnswer, goldens, launchOptions, PageTrial, ready, send, waitForTokens } from "./page-trial.ts";

const [, , variables = { problem: "", answer: "" }] = goldens;

describe.skipIf(launchOptions === undefined)("the page", () => {
  const trial = new PageTrial();
  beforeAll(() => trial.start());
  afterEach(() => trial.closePages());
  afterAll(() => trial.stop());

  test("gets the headers of shared memory from its service worker, under a path, on a host that sends none", async () => {
    const page = await trial.open({ headers: {}, base: "/some/where/" });
    expect(new URL(page.url()).pathname).toBe("/some/where/");
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer);
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    const threads = await page.evaluate(() => navigator.hardwareConcurrency);
    expect(await page.locator(".facts").innerText()).toContain(`${threads} thread`);
    await page.reload();
    await ready(page);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  test("runs on one thread where neither host nor service worker isolates it, and says so", async () => {
    const page = await trial.open({ headers: {}, serviceWorkers: "block" });
    await page.getByText("This page is not cross-origin isolated").waitFor();
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer);
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    expect(await page.locator(".facts").innerText()).toMatch(/1 thread\b/);
  });

  test("works without a network after the first load", async () => {
    const context = await trial.context();
    const page = await context.newPage();
    await page.goto(await trial.serve());
    await ready(page);
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await context.setOffline(true);
    await trial.stopServers();
    await page.reload();
    await ready(page);
    await page.getByText("No network").waitFor();
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer); // typeset: KaTeX is kept, too
  });

  test("is open in one tab: the second says so, and takes it over on request", async () => {
    const page = await trial.open();
    await page.locator(".problem .primary:enabled").click();
    await waitForTokens(page, 30);
    const second = await page.context().newPage();
    await second.goto(page.url());
    await second.getByRole("heading", { name: "The page is open in another tab" }).waitFor();
    await second.getByRole("button", { name: "Use it here" }).click();
    await page.getByRole("heading", { name: "Another tab has taken over" }).waitFor();
    await ready(second);
    await second.locator(".message.user").waitFor(); // the conversation came along
    await second.close();
    await page.getByRole("button", { name: "Use it here" }).click();
    await ready(page);
  });

  test("says that conversations are not kept where storage is blocked, and works", async () => {
    const prepare = (context: BrowserContext) =>
      context.addInitScript(() => {
        Object.defineProperty(globalThis, "indexedDB", {
          get: () => {
            throw new DOMException("storage is blocked", "SecurityError");
          },
        });
      });
    const page = await trial.open({ prepare });
    await page.getByText("This browser blocks storage").waitFor();
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer);
  });

  test("runs on WebAssembly where WebGPU does not open, with the reason", async () => {
    const prepare = async (context: BrowserContext) => {
      await context.route("**/worker-main-*.js", async (route) => {
        const response = await route.fetch();
        const without = "Object.defineProperty(navigator, 'gpu', { value: undefined });\n";
        await route.fulfill({ response, body: without + (await response.text()) });
      });
    };
    const page = await trial.open({ settings: { backend: "webgpu" }, serviceWorkers: "block", prepare });
    await page.getByText(/WebGPU could not be opened.*this browser has no navigator\.gpu/).waitFor();
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer);
    expect(await page.locator(".figures").innerText()).toContain("WebAssembly");
  });

  test("a model that does not open says why, and the bundled one opens again", async () => {
    const page = await trial.open();
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    await page.getByLabel("Name on the hub, or a URL").fill("./nothing-here");
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await page.locator(".dot.failed").waitFor();
    await page.getByRole("button", { name: "Model: ./nothing-here" }).click();
    expect(await page.getByRole("dialog").getByRole("alert").innerText()).toContain("nothing-here");
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^pico-reasoner/ })
      .click();
    await ready(page);
  });
});
