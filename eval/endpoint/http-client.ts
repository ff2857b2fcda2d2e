/**
 * Requests to a server that may take minutes to answer. Node's `fetch` ends a request whose headers take longer than five
 * minutes, as those of a busy server do, and has no option for it.
 */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { errorOfStatus, messageOf, PassingFailure } from "./endpoint-errors.ts";
import { readWaitMs } from "./retry.ts";

export interface HttpClientOptions {
  readonly apiKey?: string | undefined;
  /** A request ends after this time without a byte. */
  readonly silenceMs: number;
  readonly maxSockets: number;
}

/** More than the longest response with its events. */
const MAX_BYTES = 256 << 20;
const HIDDEN = "(the key)";
const MAX_ERROR_BYTES = 64 << 10;

export interface HttpCall {
  readonly url: URL;
  /** Names the request in messages. */
  readonly doing: string;
  /** JSON; a GET without it. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };

  constructor(options: HttpClientOptions) {
    this.#options = options;
    const settings = { keepAlive: true, maxSockets: options.maxSockets };
    this.#agents = { http: new HttpAgent(settings), https: new HttpsAgent(settings) };
  }

  /**
   * Sends a request and yields the body of its answer as it comes.
   * @throws PassingFailure on the network, on silence, on a cut and on a busy server; Refusal, BackendError, ConfigError
   */
  async *send(call: HttpCall): AsyncGenerator<Uint8Array> {
    const { doing } = call;
    const ending = new AbortController();
    const end = () => ending.abort();
    call.signal?.addEventListener("abort", end, { once: true });
    if (call.signal?.aborted) end();
    let silence = setTimeout(end, this.#options.silenceMs);
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(end, this.#options.silenceMs);
    };
    try {
      const response = await this.#open(call, ending.signal);
      heard();
      await this.#checkStatus(response, doing);
      let bytes = 0;
      for await (const chunk of response) {
        heard();
        bytes += (chunk as Uint8Array).length;
        if (bytes > MAX_BYTES)
          throw new PassingFailure(`${doing}: the answer has more than ${MAX_BYTES >> 20} MiB`);
        yield chunk as Uint8Array;
      }
      if (!response.complete) throw new PassingFailure(`${doing}: the connection was cut`);
    } catch (error) {
      throw this.#explain(error, call, ending.signal);
    } finally {
      clearTimeout(silence);
      call.signal?.removeEventListener("abort", end);
      end();
    }
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  #open({ url, body }: HttpCall, signal: AbortSignal): Promise<IncomingMessage> {
    const { apiKey } = this.#options;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      Accept: "application/json, text/event-stream",
      "Accept-Encoding": "identity",
      "User-Agent": "lessismore-eval",
      ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }),
      ...(text !== undefined && {
        "Content-Type": "application/json",
        "Content-Length": String(Buffer.byteLength(text)),
      }),
    };
    const options = { method: text === undefined ? "GET" : "POST", headers, signal };
    return new Promise((resolve, reject) => {
      const request =
        url.protocol === "https:"
          ? requestHttps(url, { ...options, agent: this.#agents.https }, resolve)
          : requestHttp(url, { ...options, agent: this.#agents.http }, resolve);
      request.on("error", reject);
      request.end(text);
    });
  }

  async #checkStatus(response: IncomingMessage, doing: string): Promise<void> {
    const { statusCode: status = 0, headers } = response;
    const encoding = headers["content-encoding"] ?? "identity";
    if (status >= 200 && status < 300 && encoding === "identity") return;
    if (status >= 200 && status < 300)
      throw new PassingFailure(`${doing}: the answer is compressed (${encoding}), which was not asked for`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response) {
      parts.push(chunk as Uint8Array);
      bytes += (chunk as Uint8Array).length;
      if (bytes > MAX_ERROR_BYTES) break;
    }
    const said = this.redact(messageOf(Buffer.concat(parts).toString("utf8")));
    throw errorOfStatus(doing, { status, said, waitMs: readWaitMs(headers) });
  }

  /** Removes the key from a text that a server wrote, as it is and as JSON has it. */
  redact(text: string): string {
    const { apiKey } = this.#options;
    if (apiKey === undefined) return text;
    return text.replaceAll(apiKey, HIDDEN).replaceAll(JSON.stringify(apiKey).slice(1, -1), HIDDEN);
  }

  /** What the failure of a socket means; others stay what they are. */
  #explain(error: unknown, { doing, signal }: HttpCall, ended: AbortSignal): unknown {
    if (!(error instanceof Error) || !isOfNetwork(error) || signal?.aborted) return error;
    if (ended.aborted)
      return new PassingFailure(`${doing}: the server was silent for ${this.#options.silenceMs / 1000} s`, {
        cause: error,
      });
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ECONNREFUSED" ? "nothing listens there (ECONNREFUSED)" : (code ?? error.message);
    return new PassingFailure(`${doing}: ${why}`, { cause: error });
  }
}

/** Errors of Node's sockets, of its parser of HTTP and of TLS have a code; ours have another name. */
function isOfNetwork(error: Error): boolean {
  return error.name === "AbortError" || (error.name === "Error" && "code" in error);
}
