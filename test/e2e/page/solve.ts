import { type Engine, type GenerationPart, lessIsMore, openEngine } from "lessismore";
import { openEngineInWorker } from "lessismore/worker";
import type { Solution } from "./outcome.ts";

const MODEL = "/models/pico-reasoner";

/** Opens the bundled model on the calling thread. */
export function openHere(): Promise<Engine> {
  return openEngine({ model: MODEL, attention: lessIsMore({ tokenBudget: 128, selectionLayers: [2, 7] }) });
}

/** Opens the bundled model in the package's worker. */
export function openInWorker(): Promise<Engine> {
  return openEngineInWorker({ model: MODEL, attention: "less-is-more:budget=128,layers=2+7" });
}

/** Solves one problem. Calls `onPart` for each part. */
export async function solve(
  open: () => Promise<Engine>,
  prompt: string,
  onPart: (part: GenerationPart) => void,
): Promise<Solution> {
  const engine = await open();
  const started = performance.now();
  const partsAtMs: number[] = [];
  const generation = engine.generate({ prompt, startsInReasoning: true, temperature: 0 });
  for await (const part of generation) {
    onPart(part);
    partsAtMs.push(performance.now() - started);
  }
  const { text, attention } = await generation.result();
  const { name, description, why } = engine.report().backend;
  await engine.close();
  return {
    backend: `${name}: ${description} (${why})`,
    text,
    attendedFraction: attention.attendedFraction,
    partsAtMs,
  };
}
