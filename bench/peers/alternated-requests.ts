/**
 * Our side of an alternated comparison. Opens a model through the public API. For each request on standard input (a line of JSON)
 * it prefills a prompt and prints a line; then each further line lets it decode one round of tokens and print their times.
 * Between rounds the process blocks in the read of that line, so that nothing of it runs beside the peer.
 *
 *     node alternated-requests.js '{"model": "model.gguf", "threads": 2, "contextLength": 4160}'
 *     {"context": 512, "attention": "full", "rounds": 3, "steps": 16}
 */
import { readSync } from "node:fs";
import { type Engine, openEngine } from "../../src/node/index.ts";

interface Asked {
  readonly context: number;
  readonly attention: string;
  readonly rounds: number;
  /** Tokens timed in a round. */
  readonly steps: number;
}

/** Untimed tokens at the start of a round: the peer's data fill the caches. */
const SETTLING_TOKENS = 4;
/** Tokens that parts may hold beyond a round's. */
const SPARE_TOKENS = 256;
let numRequests = 0;

const engine = await openEngine({
  maxConcurrent: 1,
  backend: "wasm",
  ...JSON.parse(process.argv[2] ?? "{}"),
});
try {
  const { backend, model } = engine.report();
  print({ backend, model, node: process.version });
  for (let line = readLine(); line !== undefined; line = readLine()) await answer(engine, JSON.parse(line));
} finally {
  await engine.close();
}

/** Prints the prefill of `context` tokens, then the times of `rounds` rounds of `steps` tokens as their consumer sees them. */
async function answer(engine: Engine, { context, attention, rounds, steps }: Asked): Promise<void> {
  const tokenIds = Array.from({ length: context }, (_, i) => ((i * 7919) % 40_000) + 5);
  const maxTokens = SPARE_TOKENS + rounds * (SETTLING_TOKENS + steps);
  let last = performance.now();
  let stepMs: number[] | undefined;
  let round = 0;
  for await (const part of engine.generate({
    tokenIds,
    // an earlier request with these tokens must not save the prefill
    cacheSalt: String(++numRequests),
    attention,
    maxTokens,
    ignoreEos: true,
    temperature: 0,
  })) {
    const now = performance.now();
    // White space waits for the text after it, so a part may hold the tokens of several steps.
    const ms = (now - last) / Math.max(1, part.tokenIds.length);
    if (stepMs) stepMs.push(...part.tokenIds.map(() => ms));
    if (!stepMs || stepMs.length >= SETTLING_TOKENS + steps) {
      print(stepMs ? { stepMs: stepMs.slice(SETTLING_TOKENS) } : { prefillMs: now - last });
      if (round++ === rounds) return;
      stepMs = [];
      readLine();
    }
    last = performance.now();
  }
  throw new RangeError(`the output ended after ${round} of ${rounds} rounds`);
}

/** Blocks the process until a line arrives; undefined at the end of the input. */
function readLine(): string | undefined {
  const byte = Buffer.alloc(1);
  let line = "";
  while (readSync(0, byte) === 1) {
    if (byte[0] === 10) return line;
    line += byte.toString("latin1");
  }
  return line === "" ? undefined : line;
}

function print(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
