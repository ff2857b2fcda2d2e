/** An OpenAI-compatible server for tests: chat completions of a real engine on a real socket, and faults. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ChatMessage, Engine, Generation } from "../../src/node/index.ts";

export const MODEL = "pico-reasoner";

/** What a request meets in place of its answer; true when it was answered. */
export type Fault = (
  call: ServerCall,
  response: ServerResponse,
) => boolean | "cut" | Promise<boolean | "cut">;

export interface ServerCall {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Readonly<Record<string, unknown>>;
  /** Number of this chat completion, from 1; 0 of other requests. */
  readonly count: number;
}

/** How the server differs from vLLM, whose ways are the default. */
export interface ServerWays {
  readonly countsInStreams?: boolean;
  readonly streams?: boolean;
  readonly limitField?: "max_tokens" | "max_completion_tokens";
  /** Takes the reasoning out of the content, under this name; undefined: leaves it in. */
  readonly reasoningField?: "reasoning_content" | "reasoning";
  readonly takesStreamOptions?: boolean;
  readonly listsModels?: boolean;
  readonly apiKey?: string;
}

export class EngineServer {
  readonly calls: ServerCall[] = [];
  ways: ServerWays = {};
  /** Asked before each chat completion. "cut": the connection ends after some events. */
  fault: Fault = () => false;
  mostInFlight = 0;
  readonly #engine: Engine;
  readonly #server: Server;
  #count = 0;
  #inFlight = 0;

  private constructor(engine: Engine) {
    this.#engine = engine;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(engine: Engine): Promise<EngineServer> {
    const server = new EngineServer(engine);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** Requests of chat completions after the first question, which opens the endpoint. */
  get asked(): readonly ServerCall[] {
    return this.calls.filter(({ count }) => count > 1);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const chunk of request) parts.push(chunk as Buffer);
    const path = request.url ?? "";
    const isChat = path === "/v1/chat/completions";
    const body = parts.length > 0 ? JSON.parse(Buffer.concat(parts).toString()) : {};
    const call = { path, headers: request.headers, body, count: isChat ? ++this.#count : 0 };
    this.calls.push(call);
    if (this.ways.apiKey !== undefined && request.headers.authorization !== `Bearer ${this.ways.apiKey}`)
      return refuse(response, 401, `Incorrect API key provided: ${request.headers.authorization}`);
    if (path === "/v1/models" && this.ways.listsModels !== false)
      return json(response, {
        object: "list",
        data: [{ id: MODEL, object: "model", root: "models/pico", max_model_len: 8192 }],
      });
    if (!isChat) return refuse(response, 404, "Not Found");
    const fault = await this.fault(call, response);
    if (fault === true) return;
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    try {
      await this.#complete(call, response, fault === "cut");
    } finally {
      this.#inFlight--;
    }
  }

  async #complete({ body }: ServerCall, response: ServerResponse, isCut: boolean): Promise<void> {
    const { limitField = "max_tokens", takesStreamOptions = true, streams = true } = this.ways;
    const wrongField = limitField === "max_tokens" ? "max_completion_tokens" : "max_tokens";
    if (body.model !== MODEL) return refuse(response, 404, `The model \`${body.model}\` does not exist.`);
    if (wrongField in body)
      return refuse(response, 400, `Unsupported parameter: '${wrongField}'. Use '${limitField}' instead.`);
    if (!takesStreamOptions && "stream_options" in body)
      return refuse(response, 422, "stream_options: Extra inputs are not permitted");
    let generation: Generation;
    try {
      generation = this.#engine.generate({
        messages: body.messages as readonly ChatMessage[],
        ...given("maxTokens", body[limitField]),
        ...given("temperature", body.temperature),
        ...given("topP", body.top_p),
        ...given("topK", body.top_k),
        ...given("seed", body.seed),
        ...given("chatTemplateOptions", body.chat_template_kwargs),
      });
    } catch (error) {
      return refuse(response, 400, String(error));
    }
    if (body.stream === true && streams) return this.#stream(generation, body, response, isCut);
    const { text, reasoning, answer, finishReason, usage } = await generation.result();
    if (isCut) return void response.destroy();
    const { reasoningField } = this.ways;
    const message = reasoningField ? { content: answer, [reasoningField]: reasoning } : { content: text };
    json(response, {
      choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: finishReason }],
      usage: usageOf(usage),
    });
  }

  async #stream(
    generation: Generation,
    body: ServerCall["body"],
    response: ServerResponse,
    isCut: boolean,
  ): Promise<void> {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const send = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`);
    const choice = (delta: unknown, finish: string | null = null) => ({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, finish_reason: finish }],
    });
    send(choice({ role: "assistant", content: "" }));
    const { reasoningField, countsInStreams = true } = this.ways;
    let [parts, sent] = [0, ""];
    for await (const { kind, text } of generation) {
      if (isCut && ++parts > 5) return void response.destroy();
      const isReasoning = kind === "reasoning" && reasoningField !== undefined;
      if (reasoningField !== undefined)
        send(choice(isReasoning ? { [reasoningField]: text } : { content: text }));
      else sent += text;
    }
    const { text, usage, finishReason } = await generation.result();
    // The parts have no markers of the reasoning; a server that leaves them in sends the whole text.
    if (reasoningField === undefined)
      for (let at = 0; at < text.length; at += 7) send(choice({ content: text.slice(at, at + 7) }));
    send(choice({}, finishReason));
    if (countsInStreams && "stream_options" in body) send({ choices: [], usage: usageOf(usage) });
    response.end("data: [DONE]\n\n");
    if (sent.length > text.length) throw new Error("the parts are longer than the text");
  }
}

function usageOf({ promptTokens, completionTokens }: { promptTokens: number; completionTokens: number }) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function given(name: string, value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : { [name]: value };
}

export function refuse(response: ServerResponse, status: number, message: string, headers = {}): void {
  response
    .writeHead(status, { "Content-Type": "application/json", ...headers })
    .end(JSON.stringify({ error: { message, type: "invalid_request_error", code: status } }));
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(value));
}
