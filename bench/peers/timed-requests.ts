/**
 * Our side of a comparison with a peer. Opens a checkpoint through the public API, answers each line of standard input (a JSON
 * object) with a line of timings, and ends with the input. The peer's script alternates it with the peer.
 *
 *     node timed-requests.js '{"model": FOLDER, "threads": 2, "contextLength": 4160}'
 *     {"context": 512, "steps": 32, "attention": "full"}
 */
import { createInterface } from "node:readline";
import { type Engine, openEngine } from "../../src/node/index.ts";

interface Asked {
  readonly context: number;
  readonly steps: number;
  readonly attention: string;
}

/** Untimed tokens after a prefill, which left other data in the caches. */
const SETTLING_TOKENS = 8;
let numRequests = 0;

const engine = await openEngine({
  maxConcurrent: 1,
  backend: "wasm",
  ...JSON.parse(process.argv[2] ?? "{}"),
});
try {
  const { backend, model } = engine.report();
  print({ backend, model, node: process.version });
  for await (const line of createInterface({ input: process.stdin }))
    if (line.trim() !== "") print(await answer(engine, JSON.parse(line)));
} finally {
  await engine.close();
}

/** Times a prompt of `context` tokens and `steps` tokens of output as their consumer sees them. */
async function answer(
  engine: Engine,
  { context, steps, attention }: Asked,
): Promise<Readonly<Record<string, unknown>>> {
  const tokenIds = Array.from({ length: context }, (_, i) => (i * 7919) % 500);
  const maxTokens = steps + SETTLING_TOKENS + 1;
  const cacheSalt = String(++numRequests); // an earlier request with these tokens must not save the prefill
  const generation = engine.generate({
    ...{ tokenIds, cacheSalt, attention, maxTokens, ignoreEos: true, temperature: 0 },
  });
  const stepMs: number[] = [];
  let tokens = 0;
  let last = performance.now();
  for await (const part of generation) {
    const now = performance.now();
    tokens += part.tokenIds.length;
    const ms = (now - last) / Math.max(1, part.tokenIds.length);
    if (tokens > SETTLING_TOKENS + 1) for (const _ of part.tokenIds) stepMs.push(ms);
    last = now;
  }
  const { timings, attention: used } = await generation.result();
  const { prefillMs, msPerToken } = timings;
  return { prefillMs, msPerToken, stepMs, attendedFraction: used.attendedFraction };
}

function print(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
