/** The HTTP interface of an engine: OpenAI's API, and what supervisors and Prometheus ask. */
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import type { Engine } from "../engine/engine-api.ts";
import type { GenerationRequest } from "../engine/request.ts";
import { refuseOtherOrigins, requireKey } from "./access.ts";
import { BodyMemory } from "./body-memory.ts";
import { readChatBody } from "./chat-body.ts";
import { ChatShape } from "./chat-shape.ts";
import { type ChoiceEvent, choiceEvents } from "./choice-events.ts";
import { readCompletionBody } from "./completion-body.ts";
import { constraintFieldOf } from "./constraint-fields.ts";
import { EngineSlot } from "./engine-slot.ts";
import { eventStream } from "./event-stream.ts";
import { type FieldsAtFault, HttpError, toHttpError } from "./http-error.ts";
import { ClientLeft, type LiveCall, LiveCalls } from "./live-calls.ts";
import { toLogEntry } from "./log-line.ts";
import { ServerMetrics } from "./metrics.ts";
import { readJson } from "./read-json.ts";
import { COMPLETION_SHAPE, type ReplyHead, type ReplyShape, replyChunks, wholeReply } from "./reply.ts";
import { type ResolvedServerOptions, resolveServerOptions, type ServerOptions } from "./server-options.ts";
import type { ReadingOptions } from "./shared-fields.ts";
import { detokenize, tokenize } from "./tokenize.ts";

/** A checked body. */
interface Call {
  readonly requests: readonly GenerationRequest[];
  readonly choicesPerPrompt: number;
  readonly model: string | undefined;
  readonly isStreamed: boolean;
  readonly includesUsage: boolean;
}

interface Endpoint {
  /** The field that has the prompt. */
  readonly prompt: string;
  read(
    body: Readonly<Record<string, unknown>>,
    options: ReadingOptions,
  ): Call & { readonly shape: ReplyShape };
}

const CHAT: Endpoint = {
  prompt: "messages",
  read: (body, options) => {
    const call = readChatBody(body, options);
    return { ...call, choicesPerPrompt: call.requests.length, shape: new ChatShape(call.tools) };
  },
};
const COMPLETION: Endpoint = {
  prompt: "prompt",
  read: (body, options) => ({ ...readCompletionBody(body, options), shape: COMPLETION_SHAPE }),
};

/** OpenAI's API as a function of a `Request`. It needs an engine (`serve`), and has no socket of its own (`listen`). */
export class InferenceServer {
  readonly #options: ResolvedServerOptions;
  readonly #engine: EngineSlot;
  readonly #calls: LiveCalls;
  readonly #metrics: ServerMetrics;
  readonly #bodies: BodyMemory;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #app = new Hono();
  /** Resolves with the reason if the engine is given up: it has ended and was opened again too often. */
  readonly givenUp: Promise<Error>;

  /** @throws ConfigError on unknown options and impossible values */
  constructor(given: ServerOptions) {
    const options = resolveServerOptions(given);
    this.#options = options;
    let giveUp: (reason: Error) => void = () => {};
    this.givenUp = new Promise((resolve) => {
      giveUp = resolve;
    });
    this.#engine = new EngineSlot({
      maxRestarts: options.maxRestarts,
      log: (text) => this.#log(text),
      onGivenUp: giveUp,
    });
    this.#bodies = new BodyMemory(options.maxBodyBytes);
    this.#calls = new LiveCalls({ maxQueue: options.maxQueue, timeoutMs: options.requestTimeoutMs });
    this.#metrics = new ServerMetrics(options.modelName, {
      count: () => this.#calls.count(),
      stats: () => this.#engine.stats(),
      numRestarts: () => this.#engine.numRestarts,
    });
    this.#protect();
    this.#routeApi();
    this.#routeSupervision();
    const methods = { "/v1/chat/completions": "POST", "/v1/completions": "POST", "/v1/models": "GET" };
    for (const [path, method] of Object.entries(methods))
      this.#app.all(path, () => {
        throw new HttpError(405, `${path} takes ${method}`, { allow: method });
      });
    this.#app.notFound(({ req }) =>
      this.#refuse(
        new HttpError(404, `this server has nothing at ${req.method} ${req.path.slice(0, 200)}`, {
          code: "not_found",
        }),
      ),
    );
    this.#app.onError((error) => this.#refuse(error));
  }

  /** Answers one request. Hono's `mount`, and whatever else serves a function from a `Request` to a `Response`, takes it. */
  readonly fetch = (request: Request): Response | Promise<Response> => this.#app.fetch(request);

  /** Gives the server its engine; until then it answers 503. The caller closes the engine after `drain`. */
  serve(engine: Engine): void {
    this.#engine.set(engine);
  }

  /** Number of calls in progress. */
  get numCalls(): number {
    return this.#calls.numCalls;
  }

  /** Milliseconds since the last call ended; 0 while calls are in progress. */
  get idleMs(): number {
    return this.#calls.idleMs;
  }

  /** Refuses new calls, and resolves when the others have ended; those that `graceMs` does not suffice for are aborted. */
  async drain(graceMs: number): Promise<void> {
    this.#calls.isDraining = true;
    this.#engine.stop();
    const timer = setTimeout(() => {
      this.#calls.abortAll(
        new HttpError(503, "the server is shutting down and did not finish this request", {
          code: "shutting_down",
        }),
      );
    }, graceMs);
    await this.#calls.idle();
    clearTimeout(timer);
  }

  #protect(): void {
    const { apiKeys, corsOrigins } = this.#options;
    if (corsOrigins.length > 0)
      this.#app.use(
        cors({
          origin: corsOrigins.includes("*") ? "*" : [...corsOrigins],
          allowMethods: ["GET", "POST"],
          exposeHeaders: ["x-request-id", "Retry-After"],
          maxAge: 3600,
        }),
      );
    if (apiKeys.length === 0) this.#app.use(refuseOtherOrigins(corsOrigins));
    this.#app.use(requireKey(apiKeys));
  }

  #routeApi(): void {
    this.#app.post("/v1/chat/completions", (context) => this.#complete(context, CHAT));
    this.#app.post("/v1/completions", (context) => this.#complete(context, COMPLETION));
    this.#app.get("/v1/models", () => Response.json({ object: "list", data: [this.#modelObject()] }));
    this.#app.get("/v1/models/:id{.+}", ({ req }) => {
      this.#checkModel(req.param("id"));
      return Response.json(this.#modelObject());
    });
    this.#app.post("/tokenize", async ({ req }) =>
      Response.json(await tokenize(await this.#body(req.raw), this.#engine.get())),
    );
    this.#app.post("/detokenize", async ({ req }) =>
      Response.json(detokenize(await this.#body(req.raw), this.#engine.get())),
    );
  }

  #routeSupervision(): void {
    this.#app.get("/health", () => {
      const { failure, loss } = this.#engine;
      if (failure) return Response.json({ status: "failed", reason: failure.message }, { status: 503 });
      return Response.json(loss ? { status: "restarting", reason: loss.message } : { status: "ok" });
    });
    this.#app.get("/ready", () => {
      const status = this.#status();
      return Response.json({ status }, { status: status === "ready" ? 200 : 503 });
    });
    this.#app.get("/metrics", async () => {
      const { type, text } = await this.#metrics.text();
      return new Response(text, { headers: { "Content-Type": type } });
    });
  }

  #status(): "shutting down" | "failed" | "restarting" | "ready" | "loading" {
    if (this.#calls.isDraining) return "shutting down";
    if (this.#engine.failure) return "failed";
    if (this.#engine.loss) return "restarting";
    return this.#engine.isReady ? "ready" : "loading";
  }

  #body(request: Request): Promise<Readonly<Record<string, unknown>>> {
    return readJson(request, this.#bodies);
  }

  #modelObject(): object {
    const engine = this.#engine.isReady ? this.#engine.get() : undefined;
    return {
      id: this.#options.modelName,
      object: "model",
      created: this.#created,
      owned_by: "lessismore",
      ...(engine && { max_model_len: engine.report().model.contextLength }),
    };
  }

  #checkModel(asked: string | undefined): void {
    const { modelName } = this.#options;
    if (asked === undefined || asked === modelName) return;
    throw new HttpError(
      404,
      `the model ${JSON.stringify(asked.slice(0, 200))} does not exist here; this server has ${JSON.stringify(modelName)}`,
      { param: "model", code: "model_not_found" },
    );
  }

  async #complete({ req }: Context, endpoint: Endpoint): Promise<Response> {
    const body = await this.#body(req.raw);
    const engine = this.#engine.get();
    const { chatTemplates } = engine;
    const call = endpoint.read(body, { ownAttention: this.#options.attention, chatTemplates });
    this.#checkModel(call.model);
    const live = this.#calls.begin(call.requests.length, req.raw.signal);
    const fault = {
      prompt: endpoint.prompt,
      hasAttention: call.requests[0]?.attention !== undefined,
      constraint: constraintFieldOf(body),
    };
    try {
      live.generations = call.requests.map((request) => engine.generate({ ...request, signal: live.signal }));
      const events = this.#metrics.watch(choiceEvents(live.generations), live);
      return await this.#reply(events, call, { live, shape: call.shape, fault });
    } catch (error) {
      const failure = this.#failed(error, live, fault);
      this.#end(live);
      throw failure ?? new HttpError(503, "the client has left");
    }
  }

  async #reply(
    events: AsyncIterable<ChoiceEvent>,
    { isStreamed, includesUsage, choicesPerPrompt }: Call,
    {
      live,
      shape,
      fault,
    }: { readonly live: LiveCall; readonly shape: ReplyShape; readonly fault: FieldsAtFault },
  ): Promise<Response> {
    const head: ReplyHead = {
      id: `${shape.idPrefix}${crypto.randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: this.#options.modelName,
    };
    const options = { shape, head, choicesPerPrompt, includesUsage };
    let response: Response;
    if (isStreamed) {
      const { heartbeatMs, stallMs } = this.#options;
      response = await eventStream(replyChunks(events, options), {
        heartbeatMs,
        stallMs,
        onError: (error) => this.#failed(error, live, fault),
        onEnd: () => this.#end(live),
      });
    } else {
      response = Response.json(await wholeReply(events, options));
      this.#end(live);
    }
    response.headers.set("x-request-id", head.id);
    return response;
  }

  /** Turns a failure into an answer; undefined if its client has left. */
  #failed(error: unknown, live: LiveCall, fault: FieldsAtFault): HttpError | undefined {
    const cause = live.causeOf(error);
    if (cause instanceof ClientLeft) return undefined;
    live.hasFailed = true;
    this.#engine.look();
    const failure = toHttpError(cause, fault);
    const { loss = this.#engine.failure } = this.#engine;
    const isTold = loss !== undefined && failure.details.code === "backend"; // once, not by each that ran
    if (failure.status === 500 && !isTold) this.#log(cause);
    return failure;
  }

  /** Ends a call, and counts its choices without a result. */
  #end(live: LiveCall): void {
    const numLeft = live.generations.length - live.numFinished;
    live.end();
    if (numLeft > 0) this.#metrics.ended(live.hasFailed ? "error" : "abort", numLeft);
  }

  #refuse(error: Error): Response {
    const failure =
      error instanceof HttpError ? error : toHttpError(error, { prompt: "", hasAttention: false });
    if (failure !== error) this.#log(error);
    this.#metrics.refused(failure.status);
    return failure.toResponse();
  }

  #log(error: unknown): void {
    this.#options.log(toLogEntry(error instanceof Error ? (error.stack ?? error.message) : String(error)));
  }
}
