/** Many clients at once: no error, every answer as alone, memory flat, nothing left. LESSISMORE_LOAD_SECONDS sets the time. */
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { golden, problem } from "./command-line.ts";
import { ServeProcess } from "./serve-process.ts";

const SECONDS = Number(process.env.LESSISMORE_LOAD_SECONDS ?? 20);
const NUM_CLIENTS = 64;
/** Growth of resident memory after the first half, in bytes. */
const MAX_GROWTH = 48_000_000;

let server: ServeProcess;
let client: OpenAI;
beforeAll(async () => {
  server = await ServeProcess.start();
  client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await server.stop();
});

type Body = OpenAI.ChatCompletionCreateParamsStreaming & Record<string, unknown>;

const filler = "ab=cd+7\n".repeat(60);
const prompts = [
  problem,
  `${problem}\nAnswer at once.`,
  `${filler}${problem}`,
  "Find qw.\nio=26\nqw=io+7",
  "a",
];
const policies = [
  "full",
  "less-is-more:budget=64,layers=2+7",
  "tidal-decode:budget=64,layers=2+7",
  "quest:budget=64,page=16,dense-layers=2",
  "streaming-llm:budget=64,sinks=4",
];
/** Requests of different lengths, prompts, policies and ways to sample. */
const bodies: readonly Body[] = Array.from({ length: 20 }, (_, i) => ({
  model: "pico-reasoner",
  stream: true,
  stream_options: { include_usage: true },
  messages: [{ role: "user", content: prompts[i % prompts.length] ?? "" }],
  max_tokens: [8, 24, 60, 120][i % 4] ?? 8,
  ignore_eos: i % 3 === 0,
  attention: policies[(i + Math.floor(i / 5)) % policies.length] ?? "full",
  ...(i % 4 === 3 ? { temperature: 1, seed: i } : { temperature: 0 }),
}));

interface Answer {
  readonly text: string;
  readonly finish: string | null;
  readonly tokens: number | undefined;
}

async function ask(body: Body): Promise<Answer> {
  let [text, finish, tokens]: [string, string | null, number | undefined] = ["", null, undefined];
  const stream = await client.chat.completions.create(body);
  for await (const { choices, usage } of stream) {
    const delta = choices[0]?.delta as { content?: string; reasoning?: string } | undefined;
    text += delta?.reasoning ?? delta?.content ?? "";
    finish = choices[0]?.finish_reason ?? finish;
    tokens = usage?.completion_tokens ?? tokens;
  }
  return { text, finish, tokens };
}

function residentBytes(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

/** Numbers in [0, n) that are the same in every run. */
function sequence(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

it(
  `${NUM_CLIENTS} streaming clients for ${SECONDS} s get the answers that each request gets alone`,
  async () => {
    const alone: Answer[] = [];
    for (const body of bodies) alone.push(await ask(body));
    expect(alone.every(({ finish, tokens }) => finish !== null && tokens !== undefined)).toBe(true);
    expect(new Set(alone.map(({ text }) => text)).size).toBeGreaterThan(8);
    expect(golden.greedy_text).toContain(alone[0]?.text.slice(0, 20));

    const end = Date.now() + 1000 * SECONDS;
    const memory: number[] = [];
    const sampler = setInterval(() => memory.push(residentBytes()), (1000 * SECONDS) / 40);
    let [numAnswers, numTokens] = [0, 0];
    const loop = async (seed: number) => {
      const next = sequence(seed);
      while (Date.now() < end) {
        const i = next(bodies.length);
        const body = bodies[i];
        if (body) expect(await ask(body)).toEqual(alone[i]);
        numAnswers++;
        numTokens += alone[i]?.tokens ?? 0;
      }
    };
    await Promise.all(Array.from({ length: NUM_CLIENTS }, (_, seed) => loop(seed + 1)));
    clearInterval(sampler);

    expect(numAnswers).toBeGreaterThan(NUM_CLIENTS);
    const half = Math.floor(memory.length / 2);
    const highest = (values: readonly number[]) => Math.max(...values);
    const growth = highest(memory.slice(half)) - highest(memory.slice(0, half));
    const quarters = [0, 1, 2, 3].map((i) =>
      highest(memory.slice((i * memory.length) / 4, ((i + 1) * memory.length) / 4)),
    );
    process.stdout.write(
      `${numAnswers} answers of ${numTokens} tokens in ${SECONDS} s, ${await server.metric("prefix_cache_hits_total")} of them found cached prompts; ` +
        `resident by quarters of the time ${quarters.map((bytes) => (bytes / 1e6).toFixed(0)).join(", ")} MB, growth ${(growth / 1e6).toFixed(1)} MB\n`,
    );
    expect(growth).toBeLessThan(MAX_GROWTH);
    await server.idle();
    const { free, cached, total } = await server.pages();
    expect(free + cached).toBe(total);
    expect(await server.metric("http_errors_total").catch(() => 0)).toBe(0);
    expect(server.stderr).toBe("");
  },
  1000 * SECONDS + 90_000,
);
