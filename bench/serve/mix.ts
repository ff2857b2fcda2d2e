/** Many clients whose requests come at random times, of mixed lengths and policies. */
import { distributionOf, mean, percentile } from "../statistics.ts";
import { freshPrompt } from "./prompts.ts";
import type { MeasuredServer } from "./server.ts";
import { readFigures } from "./server-metrics.ts";
import { firstTokenMs, type StreamTimes, streamCompletion } from "./stream.ts";

export interface MixOptions {
  /** Requests that may be in progress; one that comes when all are waits for the first to end, and its wait counts. */
  readonly clients: number;
  /** Requests per second, on average; arrivals are a Poisson process. */
  readonly rate: number;
  readonly seconds: number;
  readonly seed: number;
  /** Policies in turn, on our own servers. */
  readonly attention: readonly string[];
}

export interface MixResult {
  readonly load: MixLoad;
  readonly times: readonly MixTimes[];
  readonly policies: readonly MixPolicy[];
}

export interface MixLoad {
  readonly clients: number;
  readonly rate: number;
  readonly requests: number;
  readonly failed: number;
  /** From the first request to the last event. */
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Over samples of four a second. Absent for servers that do not tell. */
  readonly runningMean?: number;
  readonly runningMax?: number;
  readonly waitingMean?: number;
  readonly waitingMax?: number;
}

export interface MixTimes {
  readonly figure: "first token (ms)" | "between tokens (ms)" | "whole request (ms)";
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface MixPolicy {
  readonly attention: string;
  readonly requests: number;
  readonly attendedFraction: number;
}

const PROMPTS = [32, 64, 128, 256, 512];
const ANSWERS = [16, 32, 64, 96];
const LOOK_MS = 250;

export async function benchMix(server: MeasuredServer, options: MixOptions): Promise<MixResult> {
  const { clients, rate, seconds, seed, attention } = options;
  const random = randomOf(seed);
  const plan = arrivals(rate, seconds, random).map((at, i) => ({
    ...{ at, promptTokens: pick(PROMPTS, random), maxTokens: pick(ANSWERS, random) },
    attention: attention[i % Math.max(1, attention.length)],
  }));
  await streamCompletion(server, { prompt: freshPrompt(64), maxTokens: 4 }); // warms kernels and connections
  const startedAt = performance.now();
  const looks = watch(server);
  const places = new Places(clients);
  const settled = await Promise.allSettled(
    plan.map(async ({ at, promptTokens, maxTokens, attention: spec }) => {
      await pause(at);
      const dueAt = performance.now();
      return places.use(async () => {
        const times = await streamCompletion(server, {
          ...{ prompt: freshPrompt(promptTokens), maxTokens },
          ...(spec !== undefined && { attention: spec }),
        });
        return { ...times, startedAt: dueAt };
      });
    }),
  );
  const figures = await looks.stop();
  const done = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failure = settled.find((one) => one.status === "rejected");
  if (done.length === 0 && failure) throw failure.reason;
  const tookMs = Math.max(...done.map(({ endedAt }) => endedAt)) - startedAt;
  const generated = done.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
  return {
    load: {
      ...{ clients, rate, requests: plan.length, failed: plan.length - done.length },
      ...{ seconds: tookMs / 1000, tokensPerSecond: generated / (tookMs / 1000), ...figures },
    },
    times: [
      { figure: "first token (ms)", ...distributionOf(done.map(firstTokenMs)) },
      { figure: "between tokens (ms)", ...distributionOf(done.flatMap(gapsOf)) },
      { figure: "whole request (ms)", ...distributionOf(done.map((one) => one.endedAt - one.startedAt)) },
    ],
    policies: policiesOf(done),
  };
}

/** Times from event to event; an event may have several tokens, which share its gap. */
function gapsOf({ arrivals: at, completionTokens }: StreamTimes): readonly number[] {
  const perEvent = Math.max(1, completionTokens / at.length);
  return at.slice(1).map((now, i) => (now - (at[i] ?? now)) / perEvent);
}

function policiesOf(done: readonly StreamTimes[]): readonly MixPolicy[] {
  const fractions = new Map<string, number[]>();
  for (const { ours } of done) {
    if (!ours) continue;
    const known = fractions.get(ours.attention) ?? [];
    known.push(ours.attendedFraction);
    fractions.set(ours.attention, known);
  }
  return [...fractions].map(([attention, all]) => ({
    ...{ attention, requests: all.length, attendedFraction: mean(all) },
  }));
}

/** Times in milliseconds at which a Poisson process has events, at least one. */
export function arrivals(rate: number, seconds: number, random: () => number): readonly number[] {
  const times: number[] = [];
  for (let at = 0; at < seconds * 1000 || times.length === 0; ) {
    times.push(at);
    at += (-Math.log(1 - random()) / rate) * 1000;
  }
  return times;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick<T>(values: readonly T[], random: () => number): T {
  return values[Math.floor(random() * values.length)] as T;
}

/** Lets so many work at once, in the order in which they came. */
class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** Samples what runs and waits until it is stopped. */
function watch(server: MeasuredServer) {
  const [running, waiting]: [number[], number[]] = [[], []];
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      const figures = await readFigures(server);
      if (!figures) return;
      running.push(figures.of("num_requests_running") ?? 0);
      waiting.push(figures.of("num_requests_waiting") ?? 0);
      await pause(LOOK_MS);
    }
  })();
  looking.catch(() => {}); // awaited by `stop`
  return {
    stop: async () => {
      isOver = true;
      await looking;
      if (running.length === 0) return {};
      return {
        ...{ runningMean: mean(running), runningMax: percentile(running, 1) },
        ...{ waitingMean: mean(waiting), waitingMax: percentile(waiting, 1) },
      };
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
