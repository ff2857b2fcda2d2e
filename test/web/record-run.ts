/** Makes recordings of real runs for the page of the views. */
import { openEngine } from "../../src/node/index.ts";
import { type RecordedEvent, type Recording, recordTrace } from "../../web/src/views-page/recording.ts";
import { repositoryPath } from "../golden/open-fixture.ts";

/** promptTokens: the prompt is repeated up to so many; numTokens: with the prompt's; every: steps between two traces */
interface RecordOptions {
  readonly promptTokens: number;
  readonly numTokens: number;
  readonly every: number;
}

/** Runs the bundled model past its answer, and records what a page would get. */
export async function recordRun(
  prompt: string,
  attention: string,
  { promptTokens, numTokens, every }: RecordOptions,
): Promise<Recording> {
  const engine = await openEngine({
    model: repositoryPath("models/pico-reasoner"),
    backend: "wasm",
    attention,
  });
  const { tokenIds: problem } = await engine.tokenizePrompt({ prompt });
  const tokenIds = Array.from({ length: promptTokens }, (_, i) => problem[i % problem.length] ?? 0);
  const events: RecordedEvent[] = [];
  const texts: Record<number, string> = {};
  const started = performance.now();
  const now = () => Math.round((performance.now() - started) * 1000) / 1000;
  const generation = engine.generate({
    ...{ tokenIds, maxTokens: numTokens - tokenIds.length, ignoreEos: true, startsInReasoning: true },
    // greedy output of so small a model ends in a loop
    ...{ temperature: 1, seed: 1 },
    observer: {
      every,
      wants: ["selection"],
      onStep: (trace) => events.push({ atMs: now(), trace: recordTrace(trace) }),
    },
  });
  for await (const { kind, text, tokenIds: ids, markerTokenIds = [] } of generation)
    events.push({ atMs: now(), part: { kind, text, tokenIds: [...markerTokenIds, ...ids] } });
  await generation.result();
  for (const id of [...tokenIds, ...events.flatMap(({ part }) => part?.tokenIds ?? [])])
    texts[id] ??= engine.tokenizer.decode([id]);
  const report = engine.report();
  await engine.close();
  return { attention, promptTokenIds: tokenIds, texts, engine: report, events };
}
