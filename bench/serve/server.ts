/** The server that is measured: a `lessismore serve` of this build as a process of its own, or one that runs already. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { BackendError } from "../../src/node/internal.ts";

/** Limit on the start of a server, models of gigabytes included, and on its end. */
const START_MS = 300_000;
const STOP_MS = 60_000;
const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));

export interface MeasuredServer {
  /** Ends in /v1. */
  readonly url: string;
  /** The model's name in requests. */
  readonly model: string;
  /** For people: backend, or that it is another's. */
  readonly description: string;
  /** True if it tells what only this package tells: attention policies, steps, `/metrics` by our names. */
  readonly isOurs: boolean;
  stop(): Promise<void>;
}

/** Starts a server with these options of `serve`. @throws BackendError if it does not come up */
export async function startServer(args: readonly string[]): Promise<MeasuredServer> {
  const child = spawn(process.execPath, [MAIN, "serve", "--json", "--port", "0", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<number | null>((resolve) => {
    child.once("exit", resolve);
  });
  const keeping = endWithThis(child);
  let stderr = "";
  child.stderr.on("data", (text: Buffer) => {
    stderr = (stderr + String(text)).slice(-4000);
  });
  try {
    const line = await firstLine(child, exit, () => stderr);
    const { url, model, backend } = JSON.parse(line) as { url: string; model: string; backend: string };
    const description = `lessismore serve ${args.join(" ")} (${backend})`;
    return { url, model, description, isOurs: true, stop: () => stop(child, exit).finally(keeping) };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

function firstLine(child: ChildProcess, exit: Promise<number | null>, said: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (what: string) =>
      reject(
        new BackendError(`bench serve: starting the server: ${what}; it said: ${said().trim() || "nothing"}`),
      );
    const timer = setTimeout(() => fail(`it was not ready after ${START_MS / 1000} s`), START_MS);
    let text = "";
    child.stdout?.on("data", (part: Buffer) => {
      text += String(part);
      if (!text.includes("\n")) return;
      clearTimeout(timer);
      resolve(text);
    });
    void exit.then((code) => {
      clearTimeout(timer);
      fail(`it ended with ${code}`);
    });
  });
}

/** Ends the server if this process is ended first. Returns the function that stops looking after it. */
function endWithThis(child: ChildProcess): () => void {
  const kill = () => child.kill("SIGKILL");
  const leave = (signal: NodeJS.Signals) => {
    kill();
    process.exit(128 + constants.signals[signal]);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  process.once("exit", kill);
  for (const signal of signals) process.once(signal, leave);
  return () => {
    process.off("exit", kill);
    for (const signal of signals) process.off(signal, leave);
  };
}

async function stop(child: ChildProcess, exit: Promise<number | null>): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exit;
  clearTimeout(timer);
}

/**
 * Describes a server that runs already. url: its base, with or without /v1.
 * @throws BackendError if nothing there answers as OpenAI's API does
 */
export async function foreignServer(url: string, served?: string): Promise<MeasuredServer> {
  const base = url.replace(/\/+$/, "").replace(/\/v1$/, "");
  let body: { data?: readonly { id: string; owned_by?: string }[] };
  try {
    const response = await fetch(`${base}/v1/models`, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    body = await response.json();
  } catch (cause) {
    throw new BackendError(
      `bench serve: asking ${base}/v1/models: expected a list of models, got ${cause instanceof Error ? cause.message : String(cause)}; ` +
        "give --url the base of a server with OpenAI's API",
      { cause },
    );
  }
  const [first] = body.data ?? [];
  const model = served ?? first?.id;
  if (model === undefined)
    throw new BackendError(`bench serve: ${base}/v1/models lists no model; name one by --served-model`);
  const isOurs = first?.owned_by === "lessismore";
  return { url: `${base}/v1`, model, description: `${model} at ${base}`, isOurs, stop: async () => {} };
}
