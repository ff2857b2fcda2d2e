import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { GenerationProgress } from "../engine/request.ts";
import { ProgressLine, RequestProgress } from "./progress.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  vi.stubEnv("TERM", "xterm");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

const ERASE = "\r\u001b[K";

function terminal(columns = 80) {
  const written: string[] = [];
  return { isTTY: true, columns, written, write: (text: string) => written.push(text) };
}

it("rewrites its line at most ten times a second, only if it changed, and erases it at the end", () => {
  const stream = terminal();
  const line = new ProgressLine(stream);
  let count = 0;
  line.show(() => `${++count} done`);
  expect(stream.written).toEqual([`${ERASE}1 done`]);
  vi.advanceTimersByTime(1000);
  expect(stream.written.length).toBeGreaterThan(8);
  expect(stream.written.length).toBeLessThanOrEqual(11);
  line.erase();
  expect(stream.written.at(-1)).toBe(ERASE);
  const { length } = stream.written;
  line.erase();
  vi.advanceTimersByTime(1000);
  expect(stream.written).toHaveLength(length);
  line.show(() => "the same");
  vi.advanceTimersByTime(1000);
  expect(stream.written.slice(length)).toEqual([`${ERASE}the same`]);
  line.erase();
});

it("is cut to the width of the terminal, and writes nothing without a terminal", () => {
  for (const [columns, width] of [
    [20, 19],
    [0, 79],
    [120, 119],
  ]) {
    const stream = terminal(columns);
    const line = new ProgressLine(stream);
    line.show(() => "x".repeat(200));
    expect(stream.written).toEqual([`${ERASE}${"x".repeat(width)}`]);
    line.erase();
  }
  const written: string[] = [];
  const file = { isTTY: false, write: (text: string) => written.push(text) };
  const line = new ProgressLine(file);
  line.show(() => "a");
  vi.advanceTimersByTime(500);
  line.erase();
  vi.stubEnv("TERM", "dumb");
  const dumb = terminal();
  new ProgressLine(dumb).show(() => "a");
  expect([...written, ...dumb.written]).toEqual([]);
});

it("has one exit listener, and none after it is erased", () => {
  const before = process.listenerCount("exit");
  const line = new ProgressLine(terminal());
  for (let i = 0; i < 20; i++) line.show(() => "a");
  expect(process.listenerCount("exit")).toBe(before + 1);
  line.erase();
  expect(process.listenerCount("exit")).toBe(before);
});

it("shows a request's progress, and its speed since the first sight of it", () => {
  let now = 1000;
  let progress: GenerationProgress = {
    phase: "waiting",
    promptTokens: 400,
    cachedTokens: 0,
    generatedTokens: 0,
  };
  const request = new RequestProgress(
    () => progress,
    () => now,
  );
  expect(request.describe()).toBe("waiting");
  progress = { ...progress, phase: "prefill", cachedTokens: 100 };
  expect(request.describe()).toBe("reading the prompt: 100 of 400 tokens, 25 %");
  now += 2000;
  progress = { ...progress, cachedTokens: 399 };
  expect(request.describe()).toBe("reading the prompt: 399 of 400 tokens, 99 %, 150 tokens/s");
  progress = { ...progress, phase: "decode", cachedTokens: 400, generatedTokens: 1 };
  expect(request.describe()).toBe("generating: 1 tokens");
  now += 2000;
  progress = { ...progress, cachedTokens: 411, generatedTokens: 12 };
  expect(request.describe()).toBe("generating: 12 tokens, 5.5 tokens/s");
  progress = { ...progress, phase: "done" };
  expect(request.describe()).toBeUndefined();
});
