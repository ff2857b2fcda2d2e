/** How long `/health` takes while a long prompt is computed, and while nothing is. */
import { Agent, get } from "node:http";
import { BackendError } from "../../src/node/internal.ts";
import { type Distribution, distributionOf } from "../statistics.ts";
import { freshPrompt } from "./prompts.ts";
import type { MeasuredServer } from "./server.ts";
import { streamCompletion } from "./stream.ts";

export interface HealthOptions {
  readonly prefillTokens: number;
  readonly rounds: number;
}

export interface HealthRow {
  readonly while: "idle" | "prefill";
  readonly connection: "kept" | "new";
  readonly samples: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** p50 over that of an idle server. */
  readonly ratio?: number;
  readonly goal: "50 ms";
}

const INTERVAL_MS = 20;
const IDLE_SAMPLES = 50;
const LIMIT_MS = 30_000;

type Connection = HealthRow["connection"];
type Samples = Readonly<Record<Connection, number[]>>;

export async function benchHealth(
  server: MeasuredServer,
  { prefillTokens, rounds }: HealthOptions,
): Promise<readonly HealthRow[]> {
  const url = `${server.url.replace(/\/v1$/, "")}/health`;
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const agents = { kept, new: new Agent({ keepAlive: false }) };
  const idle: Samples = { kept: [], new: [] };
  const busy: Samples = { kept: [], new: [] };
  try {
    await streamCompletion(server, { prompt: freshPrompt(64), maxTokens: 1 });
    for (let round = 0; round < rounds; round++) {
      let numIdle = 0;
      await poll(url, agents, idle, () => ++numIdle > IDLE_SAMPLES);
      let isComputed = false;
      const long = streamCompletion(server, { prompt: freshPrompt(prefillTokens), maxTokens: 1 }).finally(
        () => {
          isComputed = true;
        },
      );
      long.catch(() => {}); // awaited below
      await poll(url, agents, busy, () => isComputed);
      await long;
    }
  } finally {
    kept.destroy();
  }
  return (["kept", "new"] as const).flatMap((connection) => {
    const rest = distributionOf(idle[connection]);
    const work = distributionOf(busy[connection]);
    return [
      rowOf("idle", connection, idle, rest),
      { ...rowOf("prefill", connection, busy, work), ratio: work.p50 / rest.p50 },
    ];
  });
}

function rowOf(
  when: HealthRow["while"],
  connection: Connection,
  samples: Samples,
  { p50, p99, max }: Distribution,
): HealthRow {
  return { while: when, connection, samples: samples[connection].length, p50, p99, max, goal: "50 ms" };
}

/** Asks by a kept and by a new connection in turn until told to stop, each at least once. */
async function poll(
  url: string,
  agents: Readonly<Record<Connection, Agent>>,
  samples: Samples,
  isOver: () => boolean,
): Promise<void> {
  do {
    for (const connection of ["kept", "new"] as const) {
      samples[connection].push(await ask(url, agents[connection]));
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  } while (!isOver());
}

/** Milliseconds until the whole answer is here. */
function ask(url: string, agent: Agent): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const request = get(url, { agent, timeout: LIMIT_MS }, (response) => {
      response.resume();
      response.once("end", () => resolve(performance.now() - startedAt));
    });
    request.once("timeout", () => request.destroy(new Error(`no answer within ${LIMIT_MS} ms`)));
    request.once("error", (cause) =>
      reject(
        new BackendError(`bench serve: asking ${url}: expected an answer, got ${cause.message}`, { cause }),
      ),
    );
  });
}
