/** Tasks of a page's thread, from Chromium's tracing. */

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

const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;

/**
 * Tasks of the page's main thread in a trace of the category "toplevel", the longest first, in milliseconds of the thread's own time:
 * other programs of the machine do not count.
 */
export function mainThreadTasks(trace: Buffer): number[] {
  const { traceEvents: events }: { traceEvents: TraceEvent[] } = JSON.parse(trace.toString());
  const tasks = events.filter(({ name, ph }) => ph === "X" && /RunTask$/.test(name));
  const mains = new Set(
    events
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(threadOf),
  );
  return tasks
    .filter((event) => mains.has(threadOf(event)))
    .map(({ tdur, dur = 0 }) => (tdur ?? dur) / 1000)
    .sort((a, b) => b - a);
}

/** The longest of sorted tasks, to read. */
export function longestOf(tasks: readonly number[]): string {
  return `${tasks
    .slice(0, 8)
    .map((ms) => ms.toFixed(1))
    .join(", ")} ms`;
}
