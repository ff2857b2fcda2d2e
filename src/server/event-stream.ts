/** Server-sent events, pulled by their reader. */
import type { HttpError } from "./http-error.ts";

const PING = ": ping\n\n";
const DONE = "data: [DONE]\n\n";

export interface StreamOptions {
  /** Milliseconds without an event after which a comment keeps proxies from ending the connection. */
  readonly heartbeatMs: number;
  /** Milliseconds that a reader may leave an event unread. */
  readonly stallMs: number;
  /** Turns a failure of the events into the data of the last one; undefined if nobody reads it. */
  onError(error: unknown): HttpError | undefined;
  /** Called once: after the last event, a failure, the reader's end, or a reader that does not read; not if starting throws. */
  onEnd(): void;
}

/**
 * Starts a stream of events, whose data are JSON. Waits for the first event, or for `heartbeatMs`, so that a failure
 * before it has a status of its own. Events are read only as the reader asks for them.
 * @throws what the events throw before the first one
 */
export async function eventStream(events: AsyncIterator<object>, options: StreamOptions): Promise<Response> {
  const { heartbeatMs, stallMs } = options;
  const encoder = new TextEncoder();
  const read = () => {
    const next = events.next();
    next.catch(() => {}); // a reader that has left awaits nothing
    return next;
  };
  let pending: Promise<IteratorResult<object>> | undefined = read();
  let stall: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const end = () => {
    clearTimeout(stall);
    if (!isOver) options.onEnd();
    isOver = true;
  };
  await within(pending, heartbeatMs);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stall);
        const send = (text: string) => {
          if (isOver) return; // cancelled meanwhile
          controller.enqueue(encoder.encode(text));
          stall = setTimeout(() => {
            controller.error(new Error("the reader left events unread"));
            end();
          }, stallMs);
        };
        try {
          pending ??= read();
          const next = await within(pending, heartbeatMs);
          if (next === undefined) return send(PING);
          pending = undefined;
          if (next.done !== true) return send(toEvent(next.value));
          send(DONE);
        } catch (error) {
          const failure = options.onError(error);
          if (failure) send(toEvent(failure.body));
        }
        if (!isOver) controller.close();
        end();
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-cache",
      "X-Accel-Buffering": "no", // nginx
    },
  });
}

function toEvent(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** Resolves with undefined if the work takes longer. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
