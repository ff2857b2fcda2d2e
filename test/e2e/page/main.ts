/** A page that solves one problem of the bundled model, for browser.test.ts. The query holds the prompt. */
import { lessIsMore, openEngine } from "lessismore";
import type { PageOutcome } from "./outcome.ts";

function show(id: string, text: string): void {
  document.getElementById(id)?.append(text);
}

async function solve(prompt: string): Promise<PageOutcome> {
  const engine = await openEngine({
    model: "/models/pico-reasoner",
    attention: lessIsMore({ tokenBudget: 128, selectionLayers: [2, 7] }),
    cacheDtype: "f32", // as the golden text was made
  });
  const { backend } = engine.report();
  show("backend", `${backend.name}: ${backend.description} (${backend.why})`);
  const started = performance.now();
  const partsAtMs: number[] = [];
  const generation = engine.generate({ prompt, temperature: 0 });
  for await (const part of generation) {
    show(part.kind, part.text);
    partsAtMs.push(performance.now() - started);
  }
  const { text, attention } = await generation.result();
  await engine.close();
  return { text, attendedFraction: attention.attendedFraction, partsAtMs };
}

try {
  globalThis.outcome = await solve(new URLSearchParams(location.search).get("prompt") ?? "");
  show("state", ", done");
} catch (error) {
  globalThis.outcome = { error: String(error) };
  show("state", `, failed: ${String(error)}`);
}
