/**
 * Evenness of token times: a decode of many steps through the engine, with its defaults, at one context.
 *
 * Two requests of one kind. The first is timed: the interval from token to token at the consumer, the processor time of all threads
 * over the wall clock, the host's time to record a step. In the second, a shorter one, allocations are sampled, which slows it a little.
 */
import { type Allocations, measureAllocations } from "./allocations.ts";
import { type Distribution, distributionOf, mean } from "./statistics.ts";
import { LEAD_TOKENS, type TimedRequest, type TokenTimes } from "./token-times.ts";

export interface JitterOptions {
  readonly context: number;
  readonly attention: string;
  /** Timed decode steps; the middle one is at the context. */
  readonly steps: number;
}

/** Runs a request; hostMs where the driver can time the record of a step. */
export type DecodeDriver = (
  request: TimedRequest,
  started?: () => void,
) => Promise<TokenTimes & { readonly hostMs?: readonly number[] }>;

export interface JitterRow extends JitterOptions {
  /** Milliseconds from token to token. */
  readonly ms: Distribution;
  readonly p99OverMedian: number;
  readonly meanOverMedian: number;
  /** Milliseconds that the caller's thread takes to record and submit a step on a device. */
  readonly hostMs?: Distribution;
  /** Bytes of the JavaScript heap that the process allocates a step, whoever allocates them. */
  readonly bytesPerStep: number;
  /** The functions that allocate most, in bytes a step. */
  readonly allocationSites: Allocations["sites"];
  /** Processor time of all threads over the wall clock: 1 is one core. */
  readonly coreShare: number;
}

/** Steps of the request whose allocations are sampled. */
const SAMPLED_STEPS = 500;
/** Steps of a first request, in which kernels and functions are compiled. */
const WARM_UP_STEPS = 200;

export async function benchJitter(decode: DecodeDriver, options: JitterOptions): Promise<JitterRow> {
  const request = (steps: number): TimedRequest => ({
    promptTokens: promptTokensOf(options.context, steps),
    attention: options.attention,
    steps,
  });
  await decode(request(Math.min(WARM_UP_STEPS, options.steps)));
  let began = { cpu: process.cpuUsage(), ms: performance.now() };
  const { intervals, hostMs } = await decode(request(options.steps), () => {
    began = { cpu: process.cpuUsage(), ms: performance.now() };
  });
  const { user, system } = process.cpuUsage(began.cpu);
  const coreShare = (user + system) / 1000 / (performance.now() - began.ms);
  const sampledSteps = Math.min(SAMPLED_STEPS, options.steps);
  const { bytes, sites } = await measureAllocations(async () => {
    await decode(request(sampledSteps));
  });
  const perStep = 1 / (sampledSteps + LEAD_TOKENS);
  const ms = distributionOf(intervals);
  return {
    ...options,
    ms,
    p99OverMedian: ms.p99 / ms.p50,
    meanOverMedian: mean(intervals) / ms.p50,
    ...(hostMs !== undefined && { hostMs: distributionOf(hostMs) }),
    bytesPerStep: bytes * perStep,
    allocationSites: sites.map((site) => ({ where: site.where, bytes: site.bytes * perStep })),
    coreShare,
  };
}

function promptTokensOf(context: number, steps: number): number {
  return Math.max(1, context - LEAD_TOKENS - Math.floor(steps / 2));
}

/** Tokens of context that the requests of a row take. */
export function jitterContext({ context, steps }: JitterOptions): number {
  return promptTokensOf(context, steps) + LEAD_TOKENS + steps + 2;
}
