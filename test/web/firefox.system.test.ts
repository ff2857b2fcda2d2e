/** The demo page in Debian's Firefox, driven by WebDriver BiDi: what another engine does with threads, storage and service workers. */
import { type Browser, launch, type Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { firefoxLaunchOptions } from "../../scripts/local-firefox.mjs";
import { goldens, PageTrial, WAIT_MS } from "./page-trial.ts";

const firefox = firefoxLaunchOptions();
if (firefox === undefined && inject("requiresWebGpu") && process.platform === "linux")
  throw new Error(
    "LESSISMORE_REQUIRE_WEBGPU=1 and no Firefox to test in: run `node scripts/local-firefox.mjs`",
  );

describe.skipIf(firefox === undefined)("the page in Firefox", () => {
  const trial = new PageTrial();
  let browser: Browser | undefined;
  beforeAll(async () => {
    await trial.build();
    if (firefox)
      browser = await launch({
        browser: "firefox",
        headless: true,
        timeout: WAIT_MS,
        protocolTimeout: WAIT_MS,
        ...firefox,
      });
  });
  afterAll(async () => {
    await browser?.close();
    await trial.stop();
  });

  async function open(url: string): Promise<Page> {
    if (!browser) throw new Error("Firefox did not start");
    const page = await browser.newPage();
    page.setDefaultTimeout(WAIT_MS);
    await page.goto(url);
    await ready(page);
    return page;
  }

  async function ready(page: Page): Promise<void> {
    await page.waitForSelector(".dot.ready, .dot.failed");
    expect(await page.$eval(".header", (header) => header.textContent)).toContain("Ready on WebAssembly");
  }

  async function solve(page: Page, problem: string): Promise<string> {
    const before = await page.$$eval(".figures", (all) => all.length);
    await page.$eval(
      "textarea",
      (field, text) => {
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      },
      problem,
    );
    await page.click("button[type=submit].primary");
    await page.waitForFunction((count) => document.querySelectorAll(".figures").length > count, {}, before);
    await page.waitForSelector(".message.assistant:last-of-type .answer annotation");
    const boxes = await page.$$eval(".answer annotation", (all) => all.map((one) => one.textContent ?? ""));
    return /\\boxed\{(.*)\}/.exec(boxes.at(-1) ?? "")?.[1] ?? "";
  }

  test("solves the six golden problems on all cores", async () => {
    const page = await open(await trial.serve());
    const answers: string[] = [];
    for (const { problem } of goldens) answers.push(await solve(page, problem));
    expect(answers).toEqual(goldens.map(({ answer }) => answer));
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.close();
  });

  test("gets its headers from the service worker, keeps the conversation, and works when the host is gone", async () => {
    const page = await open(await trial.serve({ headers: {}, base: "/some/where/" }));
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    const { problem = "", answer } = goldens[2] ?? {};
    expect(await solve(page, problem)).toBe(answer);
    await trial.stopServers();
    await page.reload();
    await ready(page);
    expect(await page.$$eval(".message", (all) => all.length)).toBe(2);
    expect(await solve(page, problem)).toBe(answer);
    await page.close();
  });
});
