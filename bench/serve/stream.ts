/** One streamed completion as its client sees it. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import { BackendError } from "../../src/node/internal.ts";
import type { MeasuredServer } from "./server.ts";

export interface StreamRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  /** Ours alone: a spec of a policy, and a salt of the prefix index. */
  readonly attention?: string;
  readonly cacheSalt?: string;
  readonly signal?: AbortSignal;
}

/** Times are milliseconds of `performance.now`. */
export interface StreamTimes {
  readonly startedAt: number;
  /** Arrivals of the events with text; the first is the first token's. */
  readonly arrivals: readonly number[];
  readonly endedAt: number;
  readonly completionTokens: number;
  readonly promptTokens: number;
  /** Absent if the server does not tell. */
  readonly cachedTokens?: number;
  /** Of ours alone. */
  readonly ours?: {
    readonly attention: string;
    readonly attendedFraction: number;
    readonly firstTokenSteps: number;
  };
}

interface Chunk {
  readonly choices?: readonly {
    readonly text?: string;
    readonly finish_reason?: string | null;
    readonly reasoning?: string;
  }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly lessismore?: {
    readonly attention: string;
    readonly attended_fraction: number;
    readonly first_token_steps: number;
  };
  readonly error?: { readonly message?: string };
}

/** Sends a request and reads all of its events. @throws BackendError if the server refuses or breaks off */
export async function streamCompletion(server: MeasuredServer, request: StreamRequest): Promise<StreamTimes> {
  const { prompt, maxTokens, attention, cacheSalt, signal } = request;
  const startedAt = performance.now();
  const response = await fetch(`${server.url}/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model: server.model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true },
      ...{ stream: true, stream_options: { include_usage: true } },
      ...(server.isOurs && attention !== undefined && { attention }),
      ...(server.isOurs && cacheSalt !== undefined && { cache_salt: cacheSalt }),
    }),
    ...(signal && { signal }),
  });
  if (!response.ok || response.body === null)
    throw failed(server, `status ${response.status}: ${(await response.text()).slice(0, 500)}`);
  const arrivals: number[] = [];
  let [usage, ours, isDone]: [Chunk["usage"], Chunk["lessismore"], boolean] = [undefined, undefined, false];
  const events = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === "[DONE]") {
      isDone = true;
      continue;
    }
    const now = performance.now();
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw failed(server, `the event ${data.slice(0, 500)}`);
    const [choice] = chunk.choices ?? [];
    if (choice && ((choice.text ?? "") !== "" || (choice.reasoning ?? "") !== "")) arrivals.push(now);
    usage = chunk.usage ?? usage;
    ours = chunk.lessismore ?? ours;
  }
  const endedAt = performance.now();
  if (!isDone || !usage) throw failed(server, `an end ${isDone ? "without usage" : "without [DONE]"}`);
  const { cached_tokens: cachedTokens } = usage.prompt_tokens_details ?? {};
  return {
    ...{ startedAt, endedAt, completionTokens: usage.completion_tokens, promptTokens: usage.prompt_tokens },
    // a token whose text never came, such as half of a character, has no event
    arrivals: arrivals.length > 0 ? arrivals : [endedAt],
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(server.isOurs &&
      ours && {
        ours: {
          ...{ attention: ours.attention, attendedFraction: ours.attended_fraction },
          firstTokenSteps: ours.first_token_steps,
        },
      }),
  };
}

function failed({ url }: MeasuredServer, got: string): BackendError {
  return new BackendError(
    `bench serve: a streamed completion of ${url}: expected events and their end, got ${got}; see the server's log`,
  );
}

/** Milliseconds to the first token. */
export function firstTokenMs({ startedAt, arrivals }: StreamTimes): number {
  return (arrivals[0] ?? Number.NaN) - startedAt;
}
