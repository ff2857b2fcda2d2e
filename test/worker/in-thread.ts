/** An engine and its proxy on one thread, with all messages in between. */
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import type { DownloadProgress } from "../../src/load/hub/transfer-rate.ts";
import { openRemote, type StartedThread } from "../../src/worker/open-remote.ts";
import { channelOf, type FromEngine, type ToEngine } from "../../src/worker/protocol.ts";
import { serveEngine } from "../../src/worker/serve-engine.ts";

export interface InThread {
  readonly engine: LoadedEngine;
  /** Types of the messages of each side, in order. */
  readonly sent: ToEngine["type"][];
  readonly received: FromEngine["type"][];
  /** Acts as a thread that ended by itself. */
  end(why: string, cause?: unknown): void;
  isTerminated(): boolean;
}

export interface InThreadOptions {
  readonly signal?: AbortSignal;
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** Serves what `open` opens over a MessageChannel. */
export async function openInThread(
  open: Parameters<typeof serveEngine>[1],
  options: InThreadOptions = {},
): Promise<InThread> {
  const { port1, port2 } = new MessageChannel();
  const sent: ToEngine["type"][] = [];
  const received: FromEngine["type"][] = [];
  const ends: ((why: string, cause?: unknown) => void)[] = [];
  let isTerminated = false;
  const channel = channelOf<ToEngine, FromEngine>(port1);
  const thread: StartedThread = {
    channel: {
      send: (message, transfer) => {
        sent.push(message.type);
        channel.send(message, transfer);
      },
      receive: (callback) =>
        channel.receive((message) => {
          received.push(message.type);
          callback(message);
        }),
      close: () => channel.close(),
    },
    onEnd: (callback) => ends.push(callback),
    terminate: () => {
      isTerminated = true;
      port2.close();
    },
  };
  serveEngine(channelOf(port2), open);
  const engine = await openRemote(thread, { options: {}, isOtherThread: false, ...options });
  const end = (why: string, cause?: unknown) => {
    for (const callback of ends) callback(why, cause);
  };
  return { engine, sent, received, end, isTerminated: () => isTerminated };
}
