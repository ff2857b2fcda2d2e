/**
 * The host's time for a step of streaming requests, on Dawn's null device: nothing runs there, so that steps follow one another as
 * fast as the JavaScript thread prepares them and gives their tokens out.
 */
import type { AttentionObserver, Engine } from "../../src/node/index.ts";
import { contextOf, type GenerationEngine, type ModelConfig } from "../../src/node/internal.ts";
import { proseTokenizer } from "../prose-tokenizer.ts";
import { mean, median } from "../statistics.ts";
import { TOKENS_AHEAD, TOKENS_BEFORE, timeStreams } from "../streams.ts";
import { engineOver } from "../webgpu/device-engine.ts";
import { openDeviceModel } from "../webgpu/device-model.ts";
import type { BenchGpu } from "../webgpu/gpu.ts";
import { HostWatch } from "./host-watch.ts";
import { NULL_TRAITS } from "./null-gpu.ts";
import { overMessages } from "./over-messages.ts";
import { profileSubjects, WAITING } from "./subjects.ts";

export interface HostBenchOptions {
  readonly sequences: readonly number[];
  readonly attention: readonly string[];
  /** Tokens of each prompt. */
  readonly context: number;
  /** Timed steps of a turn. */
  readonly steps: number;
  readonly rounds: number;
  readonly observer?: AttentionObserver | undefined;
  /** True for an engine behind the messages of a worker; both ends work on this thread. */
  readonly isWorker?: boolean | undefined;
}

export interface HostRow {
  readonly sequences: number;
  readonly attention: string;
  /** Microseconds of this thread a step, without its waits: median over rounds. */
  readonly hostUs: number;
  /** From the arrival of a step's tokens to the beginning of the next step, and to record and submit that: medians over steps. */
  readonly givenOutUs: number;
  readonly recordedUs: number;
  readonly dispatches: number;
  readonly submissions: number;
  /** Microseconds a step by subject: shares of the profiler's samples, of `hostUs`. */
  readonly bySubject: Readonly<Record<string, number>>;
}

const WARM_UP_STEPS = 200;
/** Pages of the cache that are really there. */
const NULL_PAGES = 8;

/**
 * The null device has 512 MiB and binds 128 MiB at once: it takes a model of the same layers and heads with narrow matrices, which is
 * the same to the host.
 */
export function narrowed(config: ModelConfig): ModelConfig {
  return { ...config, hiddenSize: 256, intermediateSize: 512, vocabSize: Math.min(config.vocabSize, 32768) };
}

export async function benchHost(
  gpu: BenchGpu,
  config: ModelConfig,
  options: HostBenchOptions,
): Promise<readonly HostRow[]> {
  const rows: HostRow[] = [];
  for (const sequences of options.sequences)
    for (const attention of options.attention)
      rows.push(await benchRow(gpu, config, options, { sequences, attention }));
  return rows;
}

async function benchRow(
  gpu: BenchGpu,
  config: ModelConfig,
  options: HostBenchOptions,
  one: { readonly sequences: number; readonly attention: string },
): Promise<HostRow> {
  const maxTokens = TOKENS_BEFORE + Math.max(options.steps, WARM_UP_STEPS) + TOKENS_AHEAD;
  const model = await openDeviceModel(gpu, narrowed(config), {
    ...{ context: options.context + maxTokens, sequences: one.sequences, dtype: "f16", cacheDtype: "f16" },
    ...{ traits: NULL_TRAITS, pages: NULL_PAGES },
  });
  const { recorder } = contextOf(model.backend);
  const submitted = countSubmissions(recorder.device.queue);
  const watch = new HostWatch(model.backend);
  model.backend.resizeCache = async () => true; // pages are numbers there
  const engine: GenerationEngine = engineOver(model, await proseTokenizer());
  await engine.prepare();
  const driven: Pick<Engine, "generate" | "close"> = options.isWorker ? await overMessages(engine) : engine;
  const { context: promptTokens, observer } = options;
  const run = (steps: number, edges: { readonly began?: () => void; readonly ended?: () => void } = {}) =>
    timeStreams(driven, { ...one, promptTokens, maxTokens, steps, observer, ...edges });
  try {
    await run(WARM_UP_STEPS);
    const rounds: Round[] = [];
    for (let round = 0; round < options.rounds; round++) {
      let [began, ended] = [countsOf(recorder.dispatches, submitted()), countsOf(0, 0)];
      const edges = {
        began: () => {
          watch.take();
          began = countsOf(recorder.dispatches, submitted());
        },
        ended: () => {
          ended = countsOf(recorder.dispatches, submitted());
        },
      };
      const { ms, tokens } = await run(options.steps, edges);
      const steps = tokens / one.sequences;
      const { givenOutMs, recordedMs } = watch.take();
      rounds.push({
        ...{
          us: (1000 * ms) / steps,
          givenOutUs: 1000 * median(givenOutMs),
          recordedUs: 1000 * median(recordedMs),
        },
        dispatches: (ended.dispatches - began.dispatches) / steps,
        submissions: (ended.submissions - began.submissions) / steps,
      });
    }
    return rowOf(one, rounds, await profileRun(run, options.steps));
  } finally {
    await driven.close();
  }
}

interface Round {
  readonly us: number;
  readonly givenOutUs: number;
  readonly recordedUs: number;
  readonly dispatches: number;
  readonly submissions: number;
}

/** Shares of the thread's time by subject, waits among them. */
async function profileRun(
  run: (steps: number, edges: { readonly began: () => void; readonly ended: () => void }) => Promise<unknown>,
  steps: number,
): Promise<ReadonlyMap<string, number>> {
  let stop: ReturnType<typeof profileSubjects> | undefined;
  let times: Promise<ReadonlyMap<string, number>> | undefined;
  await run(steps, {
    began: () => {
      stop = profileSubjects();
    },
    ended: () => {
      times = stop?.then((end) => end());
    },
  });
  const all = (await times) ?? new Map<string, number>();
  const sum = [...all.values()].reduce((total, us) => total + us, 0);
  return new Map([...all].map(([subject, us]) => [subject, us / sum]));
}

function rowOf(
  one: { readonly sequences: number; readonly attention: string },
  rounds: readonly Round[],
  shares: ReadonlyMap<string, number>,
): HostRow {
  const of = (name: keyof Round) => median(rounds.map((round) => round[name]));
  const us = of("us");
  const subjects = [...shares].filter(([subject]) => subject !== WAITING).sort(([, a], [, b]) => b - a);
  return {
    ...one,
    hostUs: us * (1 - (shares.get(WAITING) ?? 0)),
    ...{ givenOutUs: of("givenOutUs"), recordedUs: of("recordedUs") },
    dispatches: Math.round(mean(rounds.map((round) => round.dispatches))),
    submissions: Math.round(mean(rounds.map((round) => round.submissions))),
    bySubject: Object.fromEntries(subjects.map(([subject, share]) => [subject, us * share])),
  };
}

function countsOf(dispatches: number, submissions: number) {
  return { dispatches, submissions };
}

function countSubmissions(queue: GPUQueue): () => number {
  let count = 0;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    count++;
    return submit(commands);
  };
  return () => count;
}
