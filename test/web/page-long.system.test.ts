/** The demo page over long runs and many conversations, its engine on one thread: the page's thread stays free, and memory flat. */
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { longestOf, mainThreadTasks } from "./main-thread-tasks.ts";
import { boxedAnswer, goldens, launchOptions, PageTrial, send, waitForTokens } from "./page-trial.ts";

const MAX_TASK_MS = 50;
const STREAMED_TOKENS = 4000;
/** The browser measures memory when it is asked, not after its next collection of garbage. */
const MEASURE_AT_ONCE = "--enable-blink-features=ForceEagerMeasureMemory";

/** Bytes of the page and its workers. */
async function memoryOf(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const measured = await (
      performance as unknown as { measureUserAgentSpecificMemory(): Promise<{ bytes: number }> }
    ).measureUserAgentSpecificMemory();
    return measured.bytes;
  });
}

describe.skipIf(launchOptions === undefined)("the page, its engine on one thread,", () => {
  const trial = new PageTrial();
  beforeAll(() => trial.start([MEASURE_AT_ONCE]));
  afterEach(() => trial.closePages());
  afterAll(() => trial.stop());
  const settings = { backend: "one-thread" };

  test(`has no task of ${MAX_TASK_MS} ms on its own thread while ${STREAMED_TOKENS} tokens stream`, async () => {
    const page = await trial.open({ settings });
    await page.locator(".problem .primary:enabled").waitFor();
    await page.locator(".problem").getByText("Registers", { exact: true }).click();
    await page.locator(".problem").getByRole("combobox").selectOption("8000");
    await page.waitForTimeout(1000);
    await trial.browser.startTracing(page, { categories: ["-*", "toplevel"] });
    await page.getByRole("button", { name: "Solve it" }).click();
    await waitForTokens(page, STREAMED_TOKENS, { pollMs: 1000, limitMs: 400_000 });
    const trace = await trial.browser.stopTracing();
    const tasks = mainThreadTasks(trace);
    expect(tasks.length).toBeGreaterThan(1000);
    console.log(`longest tasks of the page's thread: ${longestOf(tasks)}`);
    expect(tasks[0]).toBeLessThan(MAX_TASK_MS);
  }, 500_000);

  test("takes no more memory after ten conversations than after four", async () => {
    const page = await trial.open({ settings });
    const sizes: number[] = [];
    for (let i = 0; i < 10; i++) {
      await page.locator(".sidebar").getByRole("button", { name: "New conversation" }).click();
      const { problem, answer } = goldens[1 + (i % 2) * 2] ?? { problem: "", answer: "" };
      await send(page, problem);
      expect(await boxedAnswer(page)).toBe(answer);
      sizes.push(await memoryOf(page));
    }
    console.log(
      `memory after each conversation: ${sizes.map((size) => (size / 1e6).toFixed(1)).join(", ")} MB`,
    );
    const growth = Math.max(...sizes.slice(8)) - Math.max(...sizes.slice(2, 4));
    expect(growth).toBeLessThan(3e6);
  }, 300_000);
});
