/** The engine in a worker: receives the prompt; sends parts and the outcome. */
import type { WorkerMessage } from "./outcome.ts";
import { openHere, solve } from "./solve.ts";

function send(message: WorkerMessage): void {
  globalThis.postMessage(message);
}

globalThis.onmessage = async (event: MessageEvent<string>) => {
  try {
    send({ outcome: await solve(openHere, event.data, (part) => send({ part })) });
  } catch (error) {
    send({ outcome: { error: String(error) } });
  }
};
