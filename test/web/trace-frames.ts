/** Script times of a page's main thread, from Chromium's tracing. */
import type { Page } from "playwright";

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  /** Microseconds on the thread's own clock, which stands while another thread has the core. */
  readonly tdur?: number;
}

/** Traces the page while `act` runs; returns the milliseconds of script of each animation frame, ascending. */
export async function traceFrames(page: Page, act: () => Promise<unknown>): Promise<readonly number[]> {
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  const isComplete = new Promise<void>((resolve) => session.once("Tracing.tracingComplete", () => resolve()));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: ["devtools.timeline"] },
  });
  await act();
  await session.send("Tracing.end");
  await isComplete;
  return events
    .filter(({ name, ph }) => name === "FireAnimationFrame" && ph === "X")
    .map(({ tdur = 0 }) => tdur / 1000)
    .sort((a, b) => a - b);
}

/** The value below which a share of ascending values lies. */
export function quantile(values: readonly number[], share: number): number {
  return values[Math.min(values.length - 1, Math.floor(share * values.length))] ?? Number.NaN;
}
