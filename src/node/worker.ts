/** `lessismore/worker` in Node: the engine on a thread of its own, so that the caller's thread stays free. */
import { existsSync } from "node:fs";
import { MessageChannel, Worker } from "node:worker_threads";
import * as v from "valibot";
import { POLICIES } from "../attention/policies/index.ts";
import type { Engine, LoadedEngine } from "../engine/engine-api.ts";
import { ReopeningEngine } from "../engine/reopening-engine.ts";
import { checkEngineOptions } from "../open-options.ts";
import { openRemote, type StartedThread } from "../worker/open-remote.ts";
import { channelOf } from "../worker/protocol.ts";
import { refusePolicy } from "../worker/sendable.ts";
import { NODE_OPTIONS, type NodeEngineOptions, type NodePlace } from "./open-engine.ts";

export interface WorkerEngineOptions extends NodeEngineOptions {
  /** A spec. A policy that is a value cannot be sent to the worker. */
  readonly attention?: string;
  /**
   * Attention policies of your own: modules by the names that specs give them, such as { mine: "./mine.mjs" } for "mine:budget=256".
   * The worker runs them; `loadPolicyFile` has what they export.
   */
  readonly policies?: Readonly<Record<string, string | URL>>;
}

interface WorkerPlace extends NodePlace {
  readonly policies?: Readonly<Record<string, string | URL>> | undefined;
}

const NAME = v.pipe(
  v.string(),
  v.regex(/^[a-z][\w-]{0,63}$/i, "a record whose keys are names of letters, digits and -"),
  v.check((name) => !Object.hasOwn(POLICIES, name), "free of the names of the package's policies"),
);
const MODULE = v.union([v.string(), v.instance(URL)], "the path or the file URL of a module");
const WORKER_OPTIONS = {
  ...NODE_OPTIONS,
  policies: v.optional(v.record(NAME, MODULE, "an object of modules by name")),
};

/**
 * Opens an engine on a thread of its own. Its interface and errors are those of `openEngine`; ARCHITECTURE.md has the departures.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngineInWorker(options: WorkerEngineOptions = {}): Promise<Engine> {
  return ReopeningEngine.start(options, openThread);
}

async function openThread(options: WorkerEngineOptions): Promise<LoadedEngine> {
  const {
    signal,
    onDownload,
    policies = {},
    ...rest
  } = checkEngineOptions<WorkerPlace>(options, WORKER_OPTIONS);
  refusePolicy("openEngineInWorker", rest.attention);
  const modules = Object.fromEntries(
    Object.entries(policies).map(([name, module]) => [name, String(module)]),
  );
  return openRemote(startThread(), { options: { ...rest, policies: modules }, onDownload, signal });
}

function startThread(): StartedThread {
  const { port1: port, port2 } = new MessageChannel();
  const worker = new Worker(workerFile(), {
    workerData: { port: port2 },
    transferList: [port2],
    // a program given on the command line has options that a file may not have
    execArgv: process.execArgv.filter((option) => !/^--(input-type|eval|print)\b|^-[ep]+$/.test(option)),
  });
  const ends: ((why: string, cause?: unknown) => void)[] = [];
  const end = (why: string, cause?: unknown) => {
    for (const callback of ends) callback(why, cause);
  };
  worker.once("error", (error) => end(String(error), error));
  worker.once("exit", (code) => end(`exit code ${code}`));
  port.once("messageerror", (error: unknown) => end("a message could not be read", error));
  // an open engine alone does not keep a process alive: the worker does while somebody waits
  const channel = channelOf<never, never>(port as unknown as MessagePort);
  return {
    channel: {
      ...channel,
      receive: (callback) => {
        channel.receive(callback);
        port.unref();
      },
    },
    keepAlive: (isNeeded) => (isNeeded ? worker.ref() : worker.unref()),
    onEnd: (callback) => ends.push(callback),
    terminate: () => worker.terminate(),
  };
}

/** The compiled script of the worker: beside this file, or, if this file is a source, in the bundle. */
function workerFile(): URL {
  const beside = new URL("./worker-main.js", import.meta.url);
  return existsSync(beside) ? beside : new URL("../../dist/bundle/node/worker-main.js", import.meta.url);
}
