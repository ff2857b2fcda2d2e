/** A server with less cache than its requests need at once. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { problem } from "./command-line.ts";
import { post, textOf } from "./fault-client.ts";
import { ServeProcess } from "./serve-process.ts";

const CACHE_TOKENS = 384;
const PAGE = 16;
const NUM_REQUESTS = 8;

let server: ServeProcess;
beforeAll(async () => {
  const cache = ["--context-length", "320", "--cache-tokens", String(CACHE_TOKENS)];
  server = await ServeProcess.start([...cache, "--max-concurrent", "8", "--queue", "64"]);
});
afterAll(() => server.stop());

const policies = [
  "full",
  "less-is-more:budget=64,layers=2+7",
  "quest:budget=64,page=16,dense-layers=2",
  "streaming-llm:budget=64,sinks=4",
];

it(`${NUM_REQUESTS} requests that need five times the pages that there are get the answers that each gets alone, and the metrics tell of preemptions`, async () => {
  const bodies = Array.from({ length: NUM_REQUESTS }, (_, i) => ({
    messages: [{ role: "user", content: `${problem}\n${"x=y+1\n".repeat(i)}` }],
    ...{ max_tokens: 80, ignore_eos: true, stream: i % 2 === 0, cache_salt: String(i) },
    ...(i % 3 === 2 ? { temperature: 1, seed: i } : { temperature: 0 }),
    attention: policies[i % policies.length],
  }));
  const ask = async (body: (typeof bodies)[number]) => {
    const response = await post(server, body);
    expect(response.status).toBe(200);
    if (body.stream) return textOf(await response.text());
    const { reasoning = "", content = "" } = (await response.json()).choices[0].message;
    return reasoning + content;
  };
  const alone: string[] = [];
  for (const body of bodies) alone.push(await ask(body));
  expect(alone.every((text) => text.length > 50)).toBe(true);
  expect(await server.metric("num_preemptions_total")).toBe(0);

  expect(await Promise.all(bodies.map(ask))).toEqual(alone);
  expect(await server.metric("num_preemptions_total")).toBeGreaterThan(0);
  expect(await server.metric("request_success_total")).toBe(2 * bodies.length);
  await server.idle();
  const { free, cached, total } = await server.pages();
  expect(free + cached).toBe(total);
  expect(total).toBeLessThanOrEqual(CACHE_TOKENS / PAGE);
  expect(server.stderr).toBe("");
});
