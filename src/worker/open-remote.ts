/** Opens an engine on a thread that its place has started. */
import { AbortedError, BackendError, ConfigError } from "../base/errors.ts";
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { decodeError } from "./error-transfer.ts";
import { type FromEngine, PROTOCOL_VERSION } from "./protocol.ts";
import { type EngineThread, RemoteEngine } from "./remote-engine.ts";
import { createUnreadCounter } from "./unread-events.ts";

export interface RemoteOptions {
  /** Options of the engine as data; the worker checks them. */
  readonly options: unknown;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** False if both ends are on one thread, where the engine must not wait for unread events. Default true. */
  readonly isOtherThread?: boolean;
}

/** A thread that tells when it has ended by itself. */
export interface StartedThread extends EngineThread {
  /** Called at most once. Where the thread ended without a word, `cause` is undefined. */
  onEnd(callback: (why: string, cause?: unknown) => void): void;
}

/** @throws ConfigError, ModelFileError, BackendError, AbortedError; the thread has ended then */
export async function openRemote(thread: StartedThread, given: RemoteOptions): Promise<LoadedEngine> {
  const { signal } = given;
  let stopWaiting = () => {};
  try {
    return await new Promise<LoadedEngine>((resolve, reject) => {
      const abort = () => {
        reject(new AbortedError("opening the engine in a worker was aborted", { cause: signal?.reason }));
      };
      signal?.addEventListener("abort", abort);
      stopWaiting = () => signal?.removeEventListener("abort", abort);
      if (signal?.aborted) abort();
      else connect(thread, given, { resolve, reject });
    });
  } catch (error) {
    thread.channel.close();
    await thread.terminate();
    throw error;
  } finally {
    stopWaiting();
    thread.keepAlive?.(false);
  }
}

/** Settles with the engine, or with the reason why there is none. */
interface Opening {
  resolve(engine: LoadedEngine): void;
  reject(error: Error): void;
}

function connect(
  thread: StartedThread,
  { options, onDownload, isOtherThread = true }: RemoteOptions,
  { resolve, reject }: Opening,
): void {
  const unread = isOtherThread ? createUnreadCounter() : undefined;
  let engine: RemoteEngine | undefined;
  thread.onEnd((why, cause) => {
    if (engine) engine.fail(why, cause);
    else
      reject(
        new BackendError(`opening the engine in a worker: the worker ended: ${why}`, {
          cause,
        }),
      );
  });
  const start = (version: number) => {
    if (version !== PROTOCOL_VERSION) return reject(otherVersion(version));
    try {
      thread.channel.send({ type: "open", options, unread });
    } catch (cause) {
      reject(
        new ConfigError(
          `openEngineInWorker: the options have a value that cannot be sent to the worker (${String(cause)}); give plain data`,
          { cause },
        ),
      );
    }
  };
  thread.channel.receive((message: FromEngine) => {
    if (engine) return engine.handle(message);
    switch (message.type) {
      case "ready":
        return start(message.version);
      case "download":
        return onDownload?.(message.progress);
      case "opened":
        engine = new RemoteEngine(thread, message.engine, unread);
        return resolve(engine);
      case "refused":
        reject(decodeError(message.error));
    }
  });
}

function otherVersion(version: number): ConfigError {
  return new ConfigError(
    `openEngineInWorker: the worker's script speaks version ${version} of the protocol and this package version ${PROTOCOL_VERSION}; ` +
      "build again, and let the browser load the script anew",
  );
}
