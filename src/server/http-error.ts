/** Failures as HTTP answers, in the shape of OpenAI's API. */
import { EngineError } from "../base/errors.ts";

/** Statuses that this server answers failures with. */
export type FailureStatus = 400 | 401 | 403 | 404 | 405 | 413 | 415 | 429 | 500 | 503 | 504;

const TYPES: Readonly<Record<FailureStatus, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "invalid_request_error",
  405: "invalid_request_error",
  413: "invalid_request_error",
  415: "invalid_request_error",
  429: "rate_limit_error",
  500: "server_error",
  503: "server_error",
  504: "timeout_error",
};

export interface FailureDetails {
  /** The field of the body at fault, as a path: `messages[3].content`. */
  readonly param?: string | undefined;
  readonly code?: string | undefined;
  /** Seconds after which another attempt may succeed. */
  readonly retryAfterS?: number | undefined;
  /** True if the client must not repeat the request by itself; OpenAI's clients obey. */
  readonly isFinal?: boolean;
  /** The method that a path takes, of a 405. */
  readonly allow?: string;
  readonly cause?: unknown;
}

/** Characters of a message that are told: it may quote what a client sent. */
const MAX_MESSAGE = 2000;

/** A failure with its status. `body` is the answer's, and the data of an event once a stream has begun. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: FailureStatus;
  readonly details: FailureDetails;

  constructor(status: FailureStatus, message: string, details: FailureDetails = {}) {
    super(message, { cause: details.cause });
    this.status = status;
    this.details = details;
  }

  get body() {
    const { param = null, code = null } = this.details;
    const { message } = this;
    const told = message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
    return { error: { message: told, type: TYPES[this.status], param, code } };
  }

  toResponse(): Response {
    const { retryAfterS, isFinal, allow } = this.details;
    const headers = new Headers();
    if (retryAfterS !== undefined) headers.set("Retry-After", String(Math.ceil(retryAfterS)));
    if (isFinal === true) headers.set("x-should-retry", "false");
    if (allow !== undefined) headers.set("Allow", allow);
    if (this.status === 401) headers.set("WWW-Authenticate", "Bearer");
    return Response.json(this.body, { status: this.status, headers });
  }
}

/** A field of a body that has an impossible value. */
export function badField(param: string, message: string, code?: string): HttpError {
  return new HttpError(400, message, { param, code });
}

/** Fields of a body that an error of the engine may be about. */
export interface FieldsAtFault {
  /** The field that has the prompt: `messages` or `prompt`. */
  readonly prompt: string;
  /** True if the body names a policy. */
  readonly hasAttention: boolean;
  /** The field that constrains the answer. */
  readonly constraint?: string | undefined;
}

/** Messages of a prompt that does not fit (`engine/resolve-request.ts`). */
const TOO_LONG = /the context holds|leaves no room after a prompt/;
/** Messages of a template that cannot be used or was stopped (`load/chat-template.ts`). */
const OF_TEMPLATE = /\bchat template\b/;

/** Messages about one value of a request: the path is the engine's. */
const OF_VALUE = /^(?<doing>generate|tokenizePrompt): (?<path>[A-Za-z][\w.[\]]*) /;
/** Options of the engine by the fields that set them. */
const FIELDS: Readonly<Record<string, string>> = {
  messages: "messages",
  prompt: "prompt",
  tokenIds: "prompt",
  chatTemplateOptions: "chat_template_kwargs",
  maxTokens: "max_tokens",
  minTokens: "min_tokens",
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  logitBias: "logit_bias",
  logprobs: "logprobs",
  seed: "seed",
  stop: "stop",
  stopTokenIds: "stop_token_ids",
  thinkingBudget: "thinking_budget",
  cacheSalt: "cache_salt",
  reusesDecoded: "reuses_decoded",
  constraint: "response_format",
};

/** Says an engine's message about a value with the field's name in HTTP. */
function inHttpWords(message: string): { readonly message: string; readonly param?: string } {
  const { doing = "", path = "" } = OF_VALUE.exec(message)?.groups ?? {};
  const [name = ""] = path.split(/[.[]/, 1);
  const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
  if (field === undefined) return { message };
  const param = field + path.slice(name.length);
  return { message: param + message.slice(`${doing}: ${path}`.length), param };
}

/** Messages about a constraint (`constraint/`), with the part of the spec that they are about. */
const OF_CONSTRAINT = /^(constraint: |generate: a constraint )/;
/** Messages about a prompt's tokens and length (`engine/resolve-request.ts`, `engine/tokenize-prompt.ts`). */
const OF_PROMPT = /^(token id |the prompt |tokenizePrompt: the prompt )/;
/** Messages about variables of a template (`load/chat-template.ts`). */
const OF_VARIABLE = /^rendering a chat: \w+ (cannot be|must be)/;
/** Messages about a policy that threw. */
const OF_POLICY = /^attention \S+ failed: /;

/** Turns any failure of a request into an HTTP answer. */
export function toHttpError(error: unknown, fault: FieldsAtFault): HttpError {
  const { prompt, hasAttention } = fault;
  if (error instanceof HttpError) return error;
  if (!(error instanceof EngineError))
    return new HttpError(500, "the server failed at this request; its log has the reason", { cause: error });
  const { message } = error;
  const because = { cause: error };
  switch (error.code) {
    case "request":
      if (TOO_LONG.test(message))
        return new HttpError(400, message, {
          ...because,
          param: prompt,
          code: "context_length_exceeded",
        });
      // a request names no policy's file, so it is the server's own that throws
      if (OF_POLICY.test(message) && !hasAttention)
        return new HttpError(500, message, { ...because, code: "attention" });
      return ofRequest(error, fault);
    case "config":
      if (OF_TEMPLATE.test(message)) return new HttpError(400, message, { ...because, param: prompt });
      return new HttpError(400, message, { ...because, ...(hasAttention && { param: "attention" }) });
    case "out-of-pages":
      return new HttpError(503, message, { ...because, code: "out_of_pages", retryAfterS: 1 });
    case "aborted":
      return new HttpError(503, message, { ...because, code: "aborted" });
    default:
      return new HttpError(500, message, { ...because, code: error.code.replaceAll("-", "_") });
  }
}

function ofRequest(error: EngineError, { prompt, constraint }: FieldsAtFault): HttpError {
  if (constraint !== undefined && OF_CONSTRAINT.test(error.message))
    return new HttpError(
      400,
      error.message.replace(/^constraint: ((constraint\.\w+|the spec): )?/, `${constraint}: `),
      {
        cause: error,
        param: constraint,
      },
    );
  const { message, param } = inHttpWords(error.message);
  return new HttpError(400, message, { cause: error, param: param ?? ofPrompt(message, prompt) });
}

/** The field of a message about the prompt: its text, or the variables of its template. */
function ofPrompt(message: string, prompt: string): string | undefined {
  if (OF_VARIABLE.test(message)) return "chat_template_kwargs";
  return OF_TEMPLATE.test(message) || OF_PROMPT.test(message) ? prompt : undefined;
}
