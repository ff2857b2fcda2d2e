import { Command, InvalidArgumentError } from "commander";
import { bundledModelFolder, type Engine, namesPolicyFile } from "../../node/index.ts";
import { attentionSpec, collect, decimal, UsageError, wholeNumber } from "../args.ts";
import { openWithProgress } from "../open-with-progress.ts";
import { NoteWriter } from "../output.ts";
import { ProgressLine } from "../progress.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { addDevice, addModel, addPlace, type ModelOptions } from "./model-options.ts";

interface ServeOptions extends ModelOptions {
  readonly attention?: string;
  readonly maxConcurrent?: number;
  readonly cacheTokens?: number;
  readonly host: string;
  readonly port: number;
  readonly servedModel?: string;
  readonly apiKey?: readonly string[];
  readonly corsOrigin?: readonly string[];
  readonly bodyLimit: number;
  readonly queue: number;
  readonly requestTimeout: number;
  readonly unloadAfter?: number;
  readonly maxRestarts: number;
  readonly drainTimeout: number;
  readonly json?: boolean;
}

/** A key for those who do not want it in the list of processes. */
const KEY_VARIABLE = "LESSISMORE_API_KEY";
const MEGABYTE = 1_000_000;
/** Milliseconds for the last bytes of answers that have ended. */
const CLOSE_MS = 2_000;
const NOTES = `
The interface is that of OpenAI's API, at http://HOST:PORT/v1. A key may also come
from the variable ${KEY_VARIABLE}. SIGTERM and Ctrl-C let running requests end;
a second one does not.`;

/** `lessismore serve`. `done` receives the action's exit code. */
export function serveCommand(done: (exitCode: number) => void): Command {
  const command = new Command("serve").description("serve a model over HTTP, as OpenAI's API does");
  addModel(command).option(
    "--attention <spec>",
    "policy of requests that name none, e.g. less-is-more:budget=256, or a file: ./my-policy.mjs (default: the model's)",
    attentionSpec,
  );
  addDevice(addPlace(command))
    .option(
      "--max-concurrent <n>",
      "requests that run at once (default: 16 on a CPU, 32 on a GPU)",
      wholeNumber(1),
    )
    .option(
      "--cache-tokens <n>",
      "tokens that the caches of all requests hold together; more wait or are replayed (default: a context each, as memory allows)",
      wholeNumber(2),
    )
    .optionsGroup("Server:")
    .option("--host <address>", "address to listen at; 0.0.0.0 is every one of this machine", "127.0.0.1")
    .option("--port <n>", "port to listen at; 0 is any free one", port, 8000)
    .option("--served-model <name>", "name of the model in requests and answers (default: its own)")
    .option("--api-key <key>", "key that requests must have; repeatable", collect)
    .option("--cors-origin <origin>", "origin whose pages may ask, or *; repeatable", collect)
    .option("--body-limit <MB>", "largest body of a request", wholeNumber(1), 8)
    .option("--queue <n>", "requests that may wait; others are told to come again", wholeNumber(1), 256)
    .option(
      "--request-timeout <s>",
      "seconds that a request may take; 0 is without limit",
      wholeNumber(0),
      3600,
    )
    .option(
      "--unload-after <minutes>",
      "take the model out of memory after so long without a request; the next one loads it again",
      decimal("a number above 0", (value) => value > 0),
    )
    .option(
      "--max-restarts <n>",
      "how often an engine that has ended is opened again in ten minutes; then the server ends with 1",
      wholeNumber(0),
      5,
    )
    .option("--drain-timeout <s>", "seconds for running requests to end after SIGTERM", wholeNumber(0), 30)
    .option("--json", "print one JSON object when the server is ready")
    .addHelpText("after", NOTES);
  return command.action(async (options: ServeOptions) => {
    done((await rerunOnDevice(options.device)) ?? (await serve(options)));
  });
}

function port(text: string): number {
  const value = wholeNumber(0)(text);
  if (value > 65_535) throw new InvalidArgumentError("Expected a port from 0 to 65535.");
  return value;
}

async function serve(options: ServeOptions): Promise<number> {
  const { InferenceServer, listen, isLoopback, unloadWhenIdle } = await import("../../server/index.ts");
  const { attention } = options;
  const apiKeys = keysOf(options);
  const log = (line: string) => process.stderr.write(`lessismore: ${line}\n`);
  const server = new InferenceServer({
    modelName: options.servedModel ?? nameOf(options.model ?? bundledModelFolder()),
    apiKeys,
    corsOrigins: options.corsOrigin ?? [],
    maxBodyBytes: options.bodyLimit * MEGABYTE,
    maxQueue: options.queue,
    requestTimeoutMs: options.requestTimeout * 1000,
    maxRestarts: options.maxRestarts,
    attention: attention !== undefined && namesPolicyFile(attention) ? undefined : attention,
    log,
  });
  const stopping = stopSignal();
  const listening = await listen(server.fetch, options).catch((error: unknown) => {
    throw new UsageError(
      `cannot listen at ${options.host}:${options.port}: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  if (!isLoopback(options.host) && apiKeys.length === 0)
    process.stderr.write(
      `lessismore: warning: everybody who reaches ${listening.url} may use this server; give it a key with --api-key\n`,
    );
  let engine: Engine | undefined;
  let exitCode = 0;
  try {
    engine = await open(options, stopping);
    if (engine) {
      server.serve(engine);
      announce(engine, listening.url, options);
      const { unloadAfter = Number.POSITIVE_INFINITY } = options;
      const idle = { afterMs: unloadAfter * 60_000, idleMs: () => server.idleMs, log };
      const stopUnloading = unloadWhenIdle(engine, idle);
      const reason = await Promise.race([stopped(stopping), server.givenUp]);
      stopUnloading();
      if (reason) exitCode = 1;
      else log(`shutting down; ${server.numCalls} requests are in progress`);
    }
    listening.stop();
    await server.drain(options.drainTimeout * 1000);
    return exitCode;
  } finally {
    await listening.close(CLOSE_MS);
    await engine?.close();
  }
}

function keysOf({ apiKey = [] }: ServeOptions): readonly string[] {
  const fromVariable = process.env[KEY_VARIABLE];
  return fromVariable === undefined || fromVariable === "" ? apiKey : [...apiKey, fromVariable];
}

/** The last part of a folder, a file or a URL; all of a model of the hub. */
function nameOf(model: string): string {
  const isPlace = /^([a-z]+:\/\/|\.{0,2}[\\/]|~)|\.(gguf|safetensors)$/i.test(model);
  return isPlace
    ? (model
        .replace(/[\\/]+$/, "")
        .split(/[\\/]/)
        .at(-1) ?? model)
    : model;
}

/** Opens the engine; undefined if the server is stopped meanwhile. */
async function open(options: ServeOptions, signal: AbortSignal): Promise<Engine | undefined> {
  const progress = new ProgressLine(process.stderr);
  try {
    return await openWithProgress({ ...options, signal, isInWorker: true }, progress);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    progress.erase();
  }
}

function announce(engine: Engine, url: string, { json, servedModel, model }: ServeOptions): void {
  const report = engine.report();
  new NoteWriter(process.stderr).write(report.notes);
  const name = servedModel ?? nameOf(model ?? bundledModelFolder());
  const { backend, attention } = report;
  process.stdout.write(
    json
      ? `${JSON.stringify({ url: `${url}/v1`, model: name, backend: backend.name, attention, pid: process.pid })}\n`
      : `lessismore: serving ${name} at ${url}/v1 (${backend.description})\n`,
  );
}

/** A signal that the first SIGTERM or Ctrl-C fires. The second one ends the process. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const codes = { SIGINT: 130, SIGTERM: 143 } as const;
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(codes[name]);
      controller.abort();
    });
  return controller.signal;
}

async function stopped(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted)
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
