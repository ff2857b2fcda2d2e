import { type GenerationPart, lessIsMore, openEngine } from "lessismore";
import type { Solution } from "./outcome.ts";

/** Solves one problem with the bundled model, on the page's thread or in a worker. Calls `onPart` for each part. */
export async function solve(prompt: string, onPart: (part: GenerationPart) => void): Promise<Solution> {
  const engine = await openEngine({
    model: "/models/pico-reasoner",
    attention: lessIsMore({ tokenBudget: 128, selectionLayers: [2, 7] }),
  });
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
