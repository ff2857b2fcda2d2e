/**
 * A page for the browser test that solves one problem with the bundled model. The query has the prompt, and `place`:
 * `worker` for a worker of the page that opens the engine, `package` for the package's own.
 */
import type { GenerationPart } from "lessismore";
import type { PageOutcome, WorkerMessage } from "./outcome.ts";
import { openHere, openInWorker, solve } from "./solve.ts";

function show(id: string, text: string): void {
  document.getElementById(id)?.append(text);
}

function showPart(part: GenerationPart): void {
  show(part.kind, part.text);
}

function solveInWorker(prompt: string): Promise<PageOutcome> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.postMessage(prompt);
  return new Promise((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => {
      if ("part" in data) showPart(data.part);
      else resolve(data.outcome);
    };
    worker.onerror = (event) => resolve({ error: `the worker failed: ${event.message}` });
  });
}

async function run(query: URLSearchParams): Promise<PageOutcome> {
  const prompt = query.get("prompt") ?? "";
  try {
    if (query.get("place") === "worker") return await solveInWorker(prompt);
    return await solve(query.get("place") === "package" ? openInWorker : openHere, prompt, showPart);
  } catch (error) {
    return { error: String(error) };
  }
}

const outcome = await run(new URLSearchParams(location.search));
show("state", "error" in outcome ? `failed: ${outcome.error}` : `done on ${outcome.backend}`);
globalThis.outcome = outcome;
