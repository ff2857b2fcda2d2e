/**
 * Our side of a comparison of results. Opens a model through the public API and answers each line of standard input (a JSON object
 * with `tokenIds`) with a line:
 *
 *     node model-outputs.js '{"model": "model.gguf"}'
 *     {"tokenIds": […], "logits": "logits.f32"}    writes the logits of all positions, f32 [tokens, vocabulary]
 *     {"tokenIds": […], "maxTokens": 64}           tokenIds of the greedy continuation
 *     {"tokenIds": […]}                            nats: of each token from the second on, minus the log of its probability
 */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Engine, openEngine } from "../../src/node/index.ts";

interface Asked {
  readonly tokenIds: readonly number[];
  readonly logits?: string;
  readonly maxTokens?: number;
}

const engine = await openEngine({
  maxConcurrent: 1,
  backend: "wasm",
  ...JSON.parse(process.argv[2] ?? "{}"),
});
try {
  const { backend, model } = engine.report();
  print({ backend, model, node: process.version });
  for await (const line of createInterface({ input: process.stdin }))
    print(await answer(engine, JSON.parse(line)));
} finally {
  await engine.close();
}

async function answer(
  engine: Engine,
  { tokenIds, logits, maxTokens }: Asked,
): Promise<Readonly<Record<string, unknown>>> {
  if (maxTokens !== undefined) {
    const request = { tokenIds, maxTokens, temperature: 0, repetitionPenalty: 1, ignoreEos: true };
    return { tokenIds: (await engine.generate(request).result()).tokenIds };
  }
  const values = await engine.logits(tokenIds);
  if (logits === undefined) return { nats: natsOf(values, tokenIds) };
  writeFileSync(logits, values);
  return { logits };
}

/** logits: f32 [tokens, vocabulary]. Sums in f64. */
function natsOf(logits: Float32Array, tokenIds: readonly number[]): number[] {
  const vocabSize = logits.length / tokenIds.length;
  return tokenIds.slice(1).map((next, i) => {
    const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize);
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    let sum = 0;
    for (const value of row) sum += Math.exp(value - most);
    return Math.log(sum) + most - (row[next] ?? Number.NaN);
  });
}

function print(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
