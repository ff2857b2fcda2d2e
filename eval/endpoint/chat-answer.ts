/** What a chat completion says, read from the JSON of a whole answer or from the events of a stream. */
import * as v from "valibot";
import { RequestError } from "../../src/node/index.ts";
import { PassingFailure, Refusal } from "./endpoint-errors.ts";

export interface ChatAnswer {
  readonly content: string;
  /** The reasoning that the server took out of the content; empty if it takes out none. */
  readonly reasoning: string;
  readonly finishReason: "stop" | "length";
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number } | undefined;
  /** Names the configuration of the server. */
  readonly fingerprint: string | undefined;
}

const COUNT = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const USAGE = v.nullish(v.object({ prompt_tokens: COUNT, completion_tokens: v.optional(COUNT, 0) }));
const TEXT = v.nullish(v.string());
/** `reasoning_content` of DeepSeek's API, vLLM, SGLang and llama-server; `reasoning` of newer vLLM and others. */
const MESSAGE = v.object({ content: TEXT, reasoning_content: TEXT, reasoning: v.optional(v.unknown()) });
const HEAD = { usage: USAGE, system_fingerprint: v.nullish(v.string()), error: v.optional(v.unknown()) };
const CHUNK = v.object({
  ...HEAD,
  choices: v.optional(
    v.array(
      v.object({
        index: v.optional(v.number(), 0),
        delta: v.optional(MESSAGE, {}),
        finish_reason: v.nullish(v.string()),
      }),
    ),
    [],
  ),
});
const ANSWER = v.object({
  ...HEAD,
  choices: v.pipe(
    v.array(v.object({ message: MESSAGE, finish_reason: v.nullish(v.string()) })),
    v.minLength(1),
  ),
});

/** Reads the JSON of a whole answer. @throws PassingFailure, Refusal, RequestError */
export function readAnswer(json: string, doing: string): ChatAnswer {
  const value = parseJson(json, doing);
  throwIfError(value, doing);
  const answer = check(ANSWER, value, doing);
  const [choice] = answer.choices;
  const collected = new CollectedAnswer(doing);
  if (choice) collected.addMessage(choice.message, choice.finish_reason);
  collected.addHead(answer);
  return collected.end();
}

type Message = v.InferOutput<typeof MESSAGE>;

/** An answer as its parts come. */
export class CollectedAnswer {
  readonly #doing: string;
  #content = "";
  #reasoning = "";
  #finish: string | undefined;
  #usage: ChatAnswer["usage"];
  #fingerprint: string | undefined;

  constructor(doing: string) {
    this.#doing = doing;
  }

  /** Adds an event's data. @returns true if it brought text @throws PassingFailure, Refusal, RequestError */
  addEvent(data: string): boolean {
    const value = parseJson(data, this.#doing);
    throwIfError(value, this.#doing);
    const chunk = check(CHUNK, value, this.#doing);
    let hasText = false;
    for (const { index, delta, finish_reason: finish } of chunk.choices)
      if (index === 0) hasText = this.addMessage(delta, finish) || hasText;
    this.addHead(chunk);
    return hasText;
  }

  /** @returns true if it brought text */
  addMessage(message: Message, finish: string | null | undefined): boolean {
    const content = message.content ?? "";
    const other = typeof message.reasoning === "string" ? message.reasoning : "";
    // Servers that send both send the same text twice.
    const reasoning = message.reasoning_content ?? other;
    this.#content += content;
    this.#reasoning += reasoning;
    if (finish !== null && finish !== undefined) this.#finish = finish;
    return content !== "" || reasoning !== "";
  }

  addHead({
    usage,
    system_fingerprint: fingerprint,
  }: Pick<v.InferOutput<typeof CHUNK>, "usage" | "system_fingerprint">): void {
    // Some servers count on in every event: the last count is the whole one.
    if (usage) this.#usage = { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
    if (fingerprint) this.#fingerprint = fingerprint;
  }

  /** The whole answer. @throws PassingFailure when it was cut, RequestError on a reason that no evaluation can use */
  end(): ChatAnswer {
    if (this.#finish === undefined)
      throw new PassingFailure(`${this.#doing}: the answer ended without a finish_reason, so it was cut`);
    return {
      content: this.#content,
      reasoning: this.#reasoning,
      finishReason: readFinish(this.#finish, this.#doing),
      usage: this.#usage,
      fingerprint: this.#fingerprint,
    };
  }
}

function readFinish(reason: string, doing: string): "stop" | "length" {
  if (["stop", "eos", "eos_token", "stop_sequence", "end_turn"].includes(reason)) return "stop";
  if (["length", "max_tokens"].includes(reason)) return "length";
  if (["abort", "error", "cancelled"].includes(reason))
    throw new PassingFailure(`${doing}: the server gave the request up (finish_reason "${reason}")`);
  throw new RequestError(
    `${doing}: the answer ended by finish_reason ${JSON.stringify(reason.slice(0, 60))}; expected "stop" or "length"`,
  );
}

/** The text of an answer with the markers of its reasoning, as the model wrote it before the server took it apart. */
export function textOf({ content, reasoning, finishReason }: ChatAnswer): string {
  if (reasoning === "") return content;
  const isCut = content === "" && finishReason === "length";
  return isCut ? `<think>\n${reasoning}` : `<think>\n${reasoning}\n</think>\n\n${content}`;
}

function parseJson(json: string, doing: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new PassingFailure(
      `${doing}: the answer is no JSON (it begins ${JSON.stringify(json.slice(0, 60))}); does a proxy answer in its place?`,
      { cause },
    );
  }
}

/** @throws by an error that a server reports after it had answered 200 */
function throwIfError(value: unknown, doing: string): void {
  if (typeof value !== "object" || value === null || !("error" in value)) return;
  const { error } = value;
  if (error === null || error === undefined) return;
  const said = JSON.stringify(error).slice(0, 500);
  const code = codeOf(error);
  const message = `${doing}: the server reported an error: ${said}`;
  if (code >= 400 && code < 500 && code !== 408 && code !== 429)
    throw new Refusal(message, { status: code, said });
  throw new PassingFailure(message);
}

/** The status that an error stands for: its code, or 400 of one whose type is that of a bad request, such as a prompt that is too long. */
function codeOf(error: unknown): number {
  if (typeof error !== "object" || error === null) return Number.NaN;
  const { code, type } = error as { readonly code?: unknown; readonly type?: unknown };
  const status = typeof code === "number" || /^\d{3}$/.test(String(code)) ? Number(code) : Number.NaN;
  if (!Number.isNaN(status)) return status;
  return type === "BadRequestError" || type === "invalid_request_error" ? 400 : Number.NaN;
}

function check<T extends v.GenericSchema>(schema: T, value: unknown, doing: string): v.InferOutput<T> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const at = issue ? v.getDotPath(issue) : undefined;
  throw new PassingFailure(
    `${doing}: this is no chat completion: ${at ? `${at}: ` : ""}${issue?.message ?? "unknown"}`,
  );
}
