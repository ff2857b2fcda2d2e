/** Solves problems by a model behind an OpenAI-compatible server. */
import { createParser } from "eventsource-parser";
import { ConfigError } from "../../src/node/index.ts";
import type {
  AttentionChoice,
  Method,
  Solved,
  SolveRequest,
  Solver,
  SolverReport,
  SolverTokenizer,
} from "../run/solver.ts";
import { type ChatAnswer, CollectedAnswer, readAnswer, textOf } from "./chat-answer.ts";
import { chatBody, type Dialect } from "./chat-body.ts";
import { PassingFailure } from "./endpoint-errors.ts";
import type { EndpointUrl } from "./endpoint-url.ts";
import type { HttpClient } from "./http-client.ts";
import { type RetryLimits, retrying } from "./retry.ts";

export interface EndpointParts {
  readonly client: HttpClient;
  readonly url: EndpointUrl;
  readonly servedModel: string;
  readonly dialect: Dialect;
  readonly concurrency: number;
  readonly retry: RetryLimits;
  readonly report: SolverReport;
  readonly contextLength?: number | undefined;
  /** Measures problems that come in lengths. */
  readonly tokenizer: SolverTokenizer;
}

/** An answer, and when its parts came. */
interface TimedAnswer extends ChatAnswer {
  /** From the request to the first text and from there to the last; of streams of at least two events with text. */
  readonly times: { readonly firstMs: number; readonly restMs: number } | undefined;
}

type CountedAnswer = TimedAnswer & { readonly usage: NonNullable<TimedAnswer["usage"]> };

export class EndpointSolver implements Solver {
  readonly report: SolverReport;
  readonly concurrency: number;
  readonly contextLength?: number;
  readonly tokenizer: SolverTokenizer;
  readonly #parts: EndpointParts;
  #finishedTokens = 0;
  readonly #running = new Set<{ tokens: number }>();

  constructor(parts: EndpointParts) {
    this.#parts = parts;
    this.report = parts.report;
    this.concurrency = parts.concurrency;
    this.tokenizer = parts.tokenizer;
    if (parts.contextLength !== undefined) this.contextLength = parts.contextLength;
  }

  /** The one method: what the server does. @throws ConfigError on attention policies, which nobody here can switch */
  async bind(attentions: readonly AttentionChoice[]): Promise<readonly Method[]> {
    const [choice] = attentions;
    if (choice !== undefined)
      throw new ConfigError(
        `--attention ${choice.spec}: behind an endpoint the server decides how to attend; leave --attention out`,
      );
    return [{ label: this.#parts.servedModel }];
  }

  async solve(request: SolveRequest): Promise<Solved> {
    const { retry, dialect } = this.#parts;
    const answer = await retrying(() => this.#ask(request), retry, request.signal);
    const { usage, finishReason, times } = answer;
    const { promptTokens, completionTokens } = usage;
    this.#finishedTokens += completionTokens;
    const notes = notesOf(answer, request, dialect);
    const hasDecoded = times !== undefined && completionTokens > 1;
    return {
      ...{ text: this.#parts.client.redact(textOf(answer)), promptTokens, completionTokens, finishReason },
      ...(times && { prefillMs: times.firstMs }),
      ...(hasDecoded && { decodeMs: times.restMs, msPerToken: times.restMs / (completionTokens - 1) }),
      ...(notes.length > 0 && { notes }),
    };
  }

  /** Tokens of finished requests, and the events of running ones, which hold a token each on most servers. */
  generatedTokens(): number {
    let sum = this.#finishedTokens;
    for (const { tokens } of this.#running) sum += tokens;
    return sum;
  }

  async close(): Promise<void> {
    this.#parts.client.close();
  }

  get #doing(): string {
    return `asking ${this.#parts.servedModel} at ${this.#parts.url.shown}`;
  }

  async #ask(request: SolveRequest): Promise<CountedAnswer> {
    const running = { tokens: 0 };
    this.#running.add(running);
    try {
      const onText = () => running.tokens++;
      const answer = await askOnce(this.#parts, request, { doing: this.#doing, onText });
      const { usage } = answer;
      if (usage !== undefined) return { ...answer, usage };
      throw new PassingFailure(`${this.#doing}: the answer has no usage, though the server gave it before`);
    } finally {
      this.#running.delete(running);
    }
  }
}

/** Sends one request and reads its answer. @throws PassingFailure, Refusal, RequestError, BackendError */
export async function askOnce(
  { client, url, servedModel, dialect }: Pick<EndpointParts, "client" | "url" | "servedModel" | "dialect">,
  request: Omit<SolveRequest, "method">,
  { doing, onText }: { readonly doing: string; readonly onText?: () => void },
): Promise<TimedAnswer> {
  const body = chatBody(servedModel, request, dialect);
  const chunks = client.send({ url: url.chat, doing, body, signal: request.signal });
  if (!dialect.streams) {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    const json = client.redact(Buffer.concat(parts).toString("utf8"));
    return { ...readAnswer(json, doing), times: undefined };
  }
  const redact = (text: string) => client.redact(text);
  return readStream(chunks, { doing, redact, ...(onText && { onText }) });
}

async function readStream(
  chunks: AsyncIterable<Uint8Array>,
  {
    doing,
    redact,
    onText,
  }: { readonly doing: string; readonly redact: (text: string) => string; readonly onText?: () => void },
): Promise<TimedAnswer> {
  const answer = new CollectedAnswer(doing);
  const start = performance.now();
  let [first, last, events, isDone] = [0, 0, 0, false];
  const parser = createParser({
    onEvent({ data }) {
      if (isDone) return;
      if (data.trim() === "[DONE]") isDone = true;
      else if (answer.addEvent(redact(data))) {
        last = performance.now();
        if (events++ === 0) first = last;
        onText?.();
      }
    },
  });
  const decoder = new TextDecoder();
  let whole = "";
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    // A server without streams answers with one object.
    if (whole !== "" || (events === 0 && text.trimStart().startsWith("{"))) whole += text;
    else parser.feed(text);
    if (isDone) break; // Some servers leave the connection open.
  }
  if (whole !== "") return { ...readAnswer(redact(whole), doing), times: undefined };
  parser.feed("\n\n"); // Some close without a last empty line.
  const times = events > 1 ? { firstMs: first - start, restMs: last - first } : undefined;
  return { ...answer.end(), times };
}

/** What the server did that was not asked for. */
function notesOf(
  { usage, content, reasoning }: ChatAnswer,
  { maxTokens }: Pick<SolveRequest, "maxTokens">,
  dialect: Dialect,
): string[] {
  const notes: string[] = [];
  const { completionTokens = 0 } = usage ?? {};
  if (maxTokens !== undefined && completionTokens > maxTokens)
    notes.push(`the server counts ${completionTokens} tokens, more than ${dialect.limitField} ${maxTokens}`);
  if (content === "" && reasoning === "" && completionTokens > 1)
    notes.push(`the server counts ${completionTokens} tokens, and its answer is empty`);
  return notes;
}
