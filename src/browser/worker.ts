/** `lessismore/worker` in browsers: the engine in a worker, so that the page stays responsive. */
import type { Engine, LoadedEngine } from "../engine/engine-api.ts";
import { ReopeningEngine } from "../engine/reopening-engine.ts";
import { checkEngineOptions } from "../open-options.ts";
import { openRemote, type StartedThread } from "../worker/open-remote.ts";
import { channelOf } from "../worker/protocol.ts";
import { refusePolicy } from "../worker/sendable.ts";
import { BROWSER_OPTIONS, type BrowserEngineOptions, type BrowserPlace } from "./open-engine.ts";

export interface WorkerEngineOptions extends BrowserEngineOptions {
  /** A spec. A policy that is a value cannot be sent to the worker. */
  readonly attention?: string;
}

/** The first message to the worker. */
export interface WorkerStart {
  readonly port: MessagePort;
  /** Name of a lock that the worker holds until it ends; undefined where the page has no locks (no https). */
  readonly lock: string | undefined;
}

/**
 * Opens an engine in a worker. Its interface and errors are those of `openEngine`; ARCHITECTURE.md has the departures.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngineInWorker(options: WorkerEngineOptions): Promise<Engine> {
  return ReopeningEngine.start(options, openThread);
}

async function openThread(options: WorkerEngineOptions): Promise<LoadedEngine> {
  const { signal, onDownload, ...rest } = checkEngineOptions<BrowserPlace>(options, BROWSER_OPTIONS);
  refusePolicy("openEngineInWorker", rest.attention);
  const sent = { ...rest, ...sendableLocations(rest), baseUrl: globalThis.location.href };
  return openRemote(startThread(), { options: sent, onDownload, signal });
}

/** URLs as texts, and lists of files as arrays: what can be sent. Relative URLs mean those of the page. */
function sendableLocations({ model, hubUrl, wasmFolder }: BrowserPlace): Partial<BrowserEngineOptions> {
  return {
    ...(model !== undefined && {
      model: typeof model === "string" || model instanceof URL ? String(model) : [...model],
    }),
    ...(hubUrl !== undefined && { hubUrl: String(hubUrl) }),
    ...(wasmFolder !== undefined && { wasmFolder: new URL(wasmFolder, globalThis.location.href).href }),
  };
}

function startThread(): StartedThread {
  // a literal URL, so that bundlers find and bundle the script
  const worker = new Worker(new URL("./worker-main.js", import.meta.url), {
    type: "module",
    name: "lessismore",
  });
  const { port1: port, port2 } = new MessageChannel();
  const locks = globalThis.navigator.locks as LockManager | undefined;
  const lock = locks && `lessismore worker ${crypto.randomUUID()}`;
  worker.postMessage({ port: port2, lock } satisfies WorkerStart, [port2]);
  const ends: ((why: string, cause?: unknown) => void)[] = [];
  const end = (why: string, cause?: unknown) => {
    for (const callback of ends.splice(0)) callback(why, cause);
  };
  worker.addEventListener("error", (event) => {
    event.preventDefault(); // the engine reports it
    end(event.message || "its script could not be loaded; the page's Content-Security-Policy must allow it");
  });
  port.addEventListener("messageerror", () => end("a message could not be read"));
  const channel = channelOf<never, never>(port);
  let isWatched = false;
  return {
    channel: {
      ...channel,
      receive: (callback) =>
        channel.receive((message) => {
          if (lock && !isWatched) {
            // the first message comes from a worker that has the lock; browsers tell of no worker that ends by itself
            isWatched = true;
            void locks.request(lock, async () => end("it was ended by the browser or by itself"));
          }
          callback(message);
        }),
    },
    onEnd: (callback) => ends.push(callback),
    terminate: () => worker.terminate(),
  };
}
