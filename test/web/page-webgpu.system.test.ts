/** The demo page in headless Chromium on WebGPU, which is SwiftShader on machines without a GPU: answers, and devices that are lost. */
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { boxedAnswer, goldens, launchOptions, PageTrial, ready, send, waitForTokens } from "./page-trial.ts";

/** SwiftShader compiles kernels for half a minute or more, and takes a tenth of a second or more for a token. */
const TEST_MS = 600_000;

/** The engine's worker keeps its devices where a test reaches them. */
const KEEP_DEVICES = `
  const request = GPUAdapter.prototype.requestDevice;
  globalThis.devices = [];
  GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await request.apply(this, given);
    globalThis.devices.push(device);
    return device;
  };
`;

/** Destroys the device of the engine that runs. */
async function loseDevice(page: Page): Promise<void> {
  const engine = page.workers().findLast((worker) => worker.url().includes("worker-main"));
  await engine?.evaluate(() => {
    const { devices } = globalThis as unknown as { devices: GPUDevice[] };
    devices.at(-1)?.destroy();
  });
}

describe.skipIf(launchOptions === undefined)("the page on WebGPU", { timeout: TEST_MS }, () => {
  const trial = new PageTrial();
  beforeAll(() => trial.start());
  afterEach(() => trial.closePages());
  afterAll(() => trial.stop());

  const openPage = () =>
    trial.open({
      settings: { backend: "webgpu" },
      serviceWorkers: "block",
      waitMs: 500_000,
      prepare: (context) =>
        context.route("**/worker-main-*.js", async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, body: KEEP_DEVICES + (await response.text()) });
        }),
    });

  test("solves a golden problem; a device lost between two questions is told with the next one, which is solved", async () => {
    const page = await openPage();
    expect(await page.locator(".header").innerText()).toContain("Ready on WebGPU");
    const [{ problem, answer } = { problem: "", answer: "" }, , , , next = { problem: "", answer: "" }] =
      goldens;
    await send(page, problem);
    expect(await boxedAnswer(page)).toBe(answer);
    expect(await page.locator(".figures").last().innerText()).toContain("WebGPU");
    await loseDevice(page);
    await page.waitForTimeout(1500); // the engine's worker may tell it meanwhile
    await send(page, next.problem);
    await page.getByText("The device was lost. Opening the model again…").waitFor();
    expect(await boxedAnswer(page)).toBe(next.answer);
    expect(await page.locator(".notice.failed").count()).toBe(0);
    expect(await page.locator(".figures").last().innerText()).toContain("WebGPU");
  });

  test("goes on after a stop, and after a reload in what follows, with the same tokens", async () => {
    const page = await openPage();
    const [, , { problem = "", answer = "" } = {}] = goldens;
    await send(page, problem);
    await waitForTokens(page, 20, { limitMs: 300_000 });
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped.", { exact: true }).waitFor();
    const stopped = await page.locator(".thoughts").innerText();
    await page.getByRole("button", { name: "Continue" }).click();
    await waitForTokens(page, 40, { limitMs: 300_000 });
    await page.reload();
    await page.getByText("Cut by a reload").waitFor();
    const cut = await page.locator(".thoughts").innerText();
    expect(cut.startsWith(stopped.trimEnd())).toBe(true);
    await ready(page);
    await page.getByRole("button", { name: "Continue" }).click();
    expect(await boxedAnswer(page)).toBe(answer);
    await page.locator(".reasoning summary").last().click();
    expect((await page.locator(".thoughts").innerText()).startsWith(cut.trimEnd())).toBe(true);
  });

  test("goes on after its device was lost in a run, with the same tokens", async () => {
    const [, , { problem = "", answer = "" } = {}] = goldens;
    const page = await openPage();
    await send(page, problem);
    await waitForTokens(page, 20, { limitMs: 300_000 });
    const before = await page.locator(".thoughts").innerText();
    await loseDevice(page);
    await page.getByText("The device was lost").waitFor();
    expect(await boxedAnswer(page)).toBe(answer);
    await page.locator(".reasoning summary").last().click();
    const whole = await page.locator(".thoughts").innerText();
    expect(whole.startsWith(before.trimEnd())).toBe(true);
  });
});
