/** Tokens per second of several streams at once beside those of one at a time. */
import { median, percentile } from "../statistics.ts";
import { freshPrompt } from "./prompts.ts";
import type { MeasuredServer } from "./server.ts";
import { firstTokenMs, type StreamTimes, streamCompletion } from "./stream.ts";

export interface ThroughputOptions {
  readonly concurrency: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly rounds: number;
}

export interface ThroughputRow {
  readonly streams: number;
  /** Tokens generated per second from the first request to the last event: medians over rounds, as all figures. */
  readonly tokensPerSecond: number;
  /** Prompt tokens count, too. */
  readonly totalTokensPerSecond: number;
  /** While all streams have their first token and none has ended. */
  readonly decodeTokensPerSecond: number;
  readonly firstTokenMs: number;
  readonly msPerTokenP50: number;
  readonly msPerTokenP99: number;
  /** Over one stream. */
  readonly ratio?: number;
  readonly totalRatio?: number;
  readonly decodeRatio?: number;
}

interface Round {
  readonly tokensPerSecond: number;
  readonly totalTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly streams: readonly StreamTimes[];
}

/** Alternates rounds of one stream and of several. */
export async function benchThroughput(
  server: MeasuredServer,
  { concurrency, promptTokens, answerTokens, rounds }: ThroughputOptions,
): Promise<readonly ThroughputRow[]> {
  const counts = [1, concurrency];
  const done = new Map<number, Round[]>(counts.map((count) => [count, []]));
  await round(server, 1, promptTokens, 8); // warms kernels and connections
  for (let i = 0; i < rounds; i++)
    for (const [count, all] of done) all.push(await round(server, count, promptTokens, answerTokens));
  const [one] = counts.map((count) => rowOf(count, done.get(count) ?? []));
  return counts.map((count) => withRatios(rowOf(count, done.get(count) ?? []), one));
}

async function round(
  server: MeasuredServer,
  count: number,
  promptTokens: number,
  maxTokens: number,
): Promise<Round> {
  const streams = await Promise.all(
    Array.from({ length: count }, () =>
      streamCompletion(server, { prompt: freshPrompt(promptTokens), maxTokens }),
    ),
  );
  const from = Math.min(...streams.map(({ startedAt }) => startedAt));
  const seconds = (Math.max(...streams.map(({ endedAt }) => endedAt)) - from) / 1000;
  const generated = sum(streams.map(({ completionTokens }) => completionTokens));
  const prompts = sum(streams.map((one) => one.promptTokens));
  return {
    tokensPerSecond: generated / seconds,
    totalTokensPerSecond: (generated + prompts) / seconds,
    decodeTokensPerSecond: decodeRate(streams),
    streams,
  };
}

/** Tokens per second while all streams decode. An event may have several tokens: each counts as the mean of its stream. */
export function decodeRate(streams: readonly Pick<StreamTimes, "arrivals" | "completionTokens">[]): number {
  const from = Math.max(...streams.map(({ arrivals }) => arrivals[0] ?? Number.NaN));
  const to = Math.min(...streams.map(({ arrivals }) => arrivals.at(-1) ?? Number.NaN));
  const tokens = streams.map(({ arrivals, completionTokens }) => {
    const within = arrivals.filter((at) => at > from && at <= to).length;
    return (within * completionTokens) / arrivals.length;
  });
  return to > from ? sum(tokens) / ((to - from) / 1000) : Number.NaN;
}

function rowOf(streams: number, rounds: readonly Round[]): ThroughputRow {
  const all = rounds.flatMap((one) => one.streams);
  const perToken = all.map(
    ({ arrivals, completionTokens }) =>
      ((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0)) / Math.max(1, completionTokens - 1),
  );
  return {
    streams,
    tokensPerSecond: median(rounds.map(({ tokensPerSecond }) => tokensPerSecond)),
    totalTokensPerSecond: median(rounds.map(({ totalTokensPerSecond }) => totalTokensPerSecond)),
    decodeTokensPerSecond: median(rounds.map(({ decodeTokensPerSecond }) => decodeTokensPerSecond)),
    firstTokenMs: median(all.map(firstTokenMs)),
    msPerTokenP50: median(perToken),
    msPerTokenP99: percentile(perToken, 0.99),
  };
}

function withRatios(row: ThroughputRow, one: ThroughputRow | undefined): ThroughputRow {
  if (one === undefined || row.streams === 1) return row;
  return {
    ...row,
    ratio: row.tokensPerSecond / one.tokensPerSecond,
    totalRatio: row.totalTokensPerSecond / one.totalTokensPerSecond,
    decodeRatio: row.decodeTokensPerSecond / one.decodeTokensPerSecond,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
