/** The first token of short requests that come while a long prompt is computed, in time and in chunks of that prompt. */
import { BackendError } from "../../src/node/internal.ts";
import { median, percentile } from "../statistics.ts";
import { freshPrompt } from "./prompts.ts";
import type { MeasuredServer } from "./server.ts";
import { readFigures, riseOf } from "./server-metrics.ts";
import { firstTokenMs, type StreamTimes, streamCompletion } from "./stream.ts";

export interface BesidePrefillOptions {
  /** Tokens of the long prompt. */
  readonly prefillTokens: number;
  readonly shortTokens: number;
  /** Long prompts; several short requests come beside each. */
  readonly rounds: number;
}

export interface BesidePrefillRow {
  readonly prefillTokens: number;
  readonly shortTokens: number;
  readonly samples: number;
  /** First token of a short request with nothing beside it. */
  readonly aloneMs: number;
  readonly besideP50: number;
  readonly besideP99: number;
  /** Over `aloneMs`. */
  readonly ratio: number;
  /** First token of the long prompt. */
  readonly longMs: number;
  /** Time of a chunk while the long prompt runs. Absent for servers that do not count them. */
  readonly chunkMs?: number;
  readonly chunkTokens?: number;
  /** Median and maximum, of a short request's wait: its time over that of a chunk. */
  readonly chunksP50?: number;
  readonly chunksMax?: number;
  /** Steps that began after the engine had the request, up to the one with its first token. */
  readonly stepsP50?: number;
  readonly stepsMax?: number;
  readonly goal: "at most 2 chunks";
}

/** Longest pause before the first short request, which gives the long one time to come first. */
const LEAD_MS = 400;
/** Pauses between two short requests: each comes at another place of a chunk. */
const PAUSES_MS = [1310, 1470, 1230, 1390, 1530];

interface Round {
  readonly alone: readonly number[];
  readonly beside: readonly StreamTimes[];
  readonly longMs: number;
  readonly chunkMs: number | undefined;
  readonly chunkTokens: number | undefined;
}

export async function benchBesidePrefill(
  server: MeasuredServer,
  { prefillTokens, shortTokens, rounds }: BesidePrefillOptions,
): Promise<BesidePrefillRow> {
  const short = () => streamCompletion(server, { prompt: freshPrompt(shortTokens), maxTokens: 1 });
  await short(); // warms kernels and connections
  const done: Round[] = [];
  for (let i = 0; i < rounds; i++) done.push(await round(server, prefillTokens, short));
  const beside = done.flatMap((one) => one.beside);
  if (beside.length === 0)
    throw new BackendError(
      `bench serve: a prompt of ${prefillTokens} tokens was computed before a short request came beside it; raise --prefill`,
    );
  const times = beside.map(firstTokenMs);
  const aloneMs = median(done.flatMap(({ alone }) => alone));
  const chunkMs = medianOf(done.map((one) => one.chunkMs));
  const chunkTokens = medianOf(done.map((one) => one.chunkTokens));
  const chunks = chunkMs === undefined ? undefined : times.map((ms) => ms / chunkMs);
  const steps = beside.flatMap(({ ours }) => ours?.firstTokenSteps ?? []);
  return {
    ...{ prefillTokens, shortTokens, samples: beside.length, aloneMs },
    ...{ besideP50: median(times), besideP99: percentile(times, 0.99), ratio: median(times) / aloneMs },
    longMs: median(done.map(({ longMs }) => longMs)),
    ...(chunkMs !== undefined && { chunkMs }),
    ...(chunkTokens !== undefined && { chunkTokens }),
    ...(chunks && { chunksP50: median(chunks), chunksMax: percentile(chunks, 1) }),
    ...(steps.length > 0 && { stepsP50: median(steps), stepsMax: percentile(steps, 1) }),
    goal: "at most 2 chunks",
  };
}

/** Short requests alone, then others one after another until the long prompt has its first token. */
async function round(
  server: MeasuredServer,
  prefillTokens: number,
  short: () => Promise<StreamTimes>,
): Promise<Round> {
  const alone: number[] = [];
  for (let i = 0; i < 3; i++) alone.push(firstTokenMs(await short()));
  const before = await readFigures(server);
  let isComputed = false;
  const long = streamCompletion(server, { prompt: freshPrompt(prefillTokens), maxTokens: 1 }).finally(() => {
    isComputed = true;
  });
  long.catch(() => {}); // awaited below; a short request may fail first
  await pause(Math.min(LEAD_MS, 2 * median(alone)));
  const beside: StreamTimes[] = [];
  while (!isComputed) {
    beside.push(await short());
    await Promise.race([long, pause(PAUSES_MS[beside.length % PAUSES_MS.length] ?? 0)]);
  }
  const longMs = firstTokenMs(await long);
  const after = await readFigures(server);
  const numChunks = riseOf("prefill_chunks_total", before, after);
  const numTokens = riseOf("prefill_chunk_tokens_total", before, after);
  const [chunkMs, chunkTokens] =
    numChunks === undefined || numChunks === 0
      ? []
      : [longMs / numChunks, numTokens === undefined ? undefined : numTokens / numChunks];
  return { alone, beside, longMs, chunkMs, chunkTokens };
}

function medianOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : median(known);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
