/** The demo page over long runs and many conversations, its engine on one thread: the page's thread stays free, and memory flat. */
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { boxedAnswer, goldens, launchOptions, PageTrial, send, waitForTokens } from "./page-trial.ts";

const MAX_TASK_MS = 50;
const STREAMED_TOKENS = 4000;
/** The browser measures memory when it is asked, not after its next collection of garbage. */
const MEASURE_AT_ONCE = "--enable-blink-features=ForceEagerMeasureMemory";

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds, of a clock and of the thread. */
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** Tasks of the page's main thread, in milliseconds of the thread's own time: other programs of the machine do not count. */
function mainThreadTasks(events: readonly TraceEvent[]): number[] {
  const tasks = events.filter(({ name, ph }) => ph === "X" && /RunTask$/.test(name));
  const mains = new Set(
    events
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(threadOf),
  );
  return tasks.filter((event) => mains.has(threadOf(event))).map(({ tdur, dur = 0 }) => (tdur ?? dur) / 1000);
}

const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;

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
    const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse(trace.toString());
    const tasks = mainThreadTasks(traceEvents);
    expect(tasks.length).toBeGreaterThan(1000);
    tasks.sort((a, b) => b - a);
    console.log(
      `longest tasks of the page's thread: ${tasks
        .slice(0, 8)
        .map((ms) => ms.toFixed(1))
        .join(", ")} ms`,
    );
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
