import * as v from "valibot";
import { ConfigError, openTokenizer, RequestError } from "../../src/node/index.ts";
import type { SolverReport } from "../run/solver.ts";
import type { ChatAnswer } from "./chat-answer.ts";
import type { Dialect } from "./chat-body.ts";
import { Refusal } from "./endpoint-errors.ts";
import { askOnce, EndpointSolver } from "./endpoint-solver.ts";
import { type EndpointUrl, readApiKey, readEndpointUrl } from "./endpoint-url.ts";
import { HttpClient } from "./http-client.ts";
import { type RetryLimits, retrying } from "./retry.ts";

export interface EndpointOptions {
  /** The server's address: `http://localhost:8000/v1`. */
  readonly endpoint: string;
  /** The model's name there. */
  readonly servedModel: string;
  /** The variable of the environment that holds the API key. Without it none is sent. */
  readonly apiKeyEnv?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Requests at once. Default 16. */
  readonly concurrency?: number | undefined;
  /** Answers as events, so that the first token and each further one are timed. Default: if the server counts tokens in streams. */
  readonly streams?: boolean | undefined;
  /** A request ends after this time without a byte. Default 15 minutes, or 2 hours without a stream. */
  readonly silenceMs?: number | undefined;
  readonly retry?: RetryLimits;
  /** The model whose tokenizer measures problems that come in lengths; a server lends none. Default: the bundled model. */
  readonly tokenizer?: string | undefined;
  readonly signal?: AbortSignal;
}

const MINUTE = 60_000;
const DEFAULT_CONCURRENCY = 16;
/** Tries of each of the first questions: with the pauses some seven seconds. */
const OPENING_ATTEMPTS = 4;
/** The first question: more than one token, since servers of reasoning models refuse fewer. */
const PROBE = {
  messages: [{ role: "user" as const, content: "Say yes." }],
  sampling: {},
  maxTokens: 16,
  seed: 0,
};

/**
 * Opens a model behind a server as a solver: finds the model in the server's list, and how the server wants to be asked.
 * @throws ConfigError, BackendError, RequestError, AbortedError
 */
export async function openEndpointSolver(options: EndpointOptions): Promise<EndpointSolver> {
  const { servedModel, apiKeyEnv, concurrency = DEFAULT_CONCURRENCY, signal } = options;
  if (servedModel.trim() === "")
    throw new ConfigError("--served-model: expected the model's name at the endpoint");
  const url = readEndpointUrl(options.endpoint);
  const apiKey = readApiKey(apiKeyEnv, options.environment ?? process.env);
  const { silenceMs = options.streams === false ? 120 * MINUTE : 15 * MINUTE } = options;
  const client = new HttpClient({ apiKey, silenceMs, maxSockets: concurrency });
  // A wrong address is found soon.
  const retry = {
    ...options.retry,
    attempts: Math.min(options.retry?.attempts ?? OPENING_ATTEMPTS, OPENING_ATTEMPTS),
  };
  try {
    const model = await findModel({ client, url, servedModel, retry, signal });
    const found = await findDialect({ client, url, servedModel, retry, signal, streams: options.streams });
    return new EndpointSolver({
      ...{ client, url, servedModel, concurrency, dialect: found.dialect, retry: options.retry ?? {} },
      report: reportOf({ url, servedModel, model, found, tokenizer: options.tokenizer ?? "pico-reasoner" }),
      contextLength: model?.contextLength,
      tokenizer: await openTokenizer(options.tokenizer),
    });
  } catch (error) {
    client.close();
    throw error;
  }
}

interface Asking {
  readonly client: HttpClient;
  readonly url: EndpointUrl;
  readonly servedModel: string;
  readonly retry: RetryLimits;
  readonly signal: AbortSignal | undefined;
}

/** What a server's list says about a model. */
interface ListedModel {
  /** The checkpoint that is served under the name, of vLLM and SGLang. */
  readonly root: string | undefined;
  readonly contextLength: number | undefined;
}

const LIST = v.object({
  data: v.array(
    v.object({
      id: v.string(),
      root: v.nullish(v.string()),
      max_model_len: v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
    }),
  ),
});

/** Finds a model in the server's list; undefined if the server has none. @throws ConfigError when the list lacks it */
async function findModel({
  client,
  url,
  servedModel,
  retry,
  signal,
}: Asking): Promise<ListedModel | undefined> {
  const doing = `asking ${url.shown} for its models`;
  const json = await retrying(
    async () => {
      const parts: Uint8Array[] = [];
      for await (const chunk of client.send({ url: url.models, doing, signal })) parts.push(chunk);
      return client.redact(Buffer.concat(parts).toString("utf8"));
    },
    retry,
    signal,
  ).catch((error: unknown) => {
    // Of a server without a list the first question tells whether it has the model.
    if (error instanceof Refusal || isNotFound(error)) return undefined;
    throw error;
  });
  const parsed = json === undefined ? undefined : v.safeParse(LIST, tryParse(json));
  if (!parsed?.success || parsed.output.data.length === 0) return undefined;
  const found = parsed.output.data.find(({ id }) => id === servedModel);
  if (found) return { root: found.root ?? undefined, contextLength: found.max_model_len ?? undefined };
  const names = parsed.output.data.map(({ id }) => id.slice(0, 200));
  throw new ConfigError(
    `--served-model ${servedModel}: ${url.shown} has no such model; it has ${names.slice(0, 20).join(", ")}` +
      `${names.length > 20 ? ` and ${names.length - 20} more` : ""}`,
  );
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && /the server answered 404\b/.test(error.message);
}

function tryParse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

interface FoundDialect {
  readonly dialect: Dialect;
  readonly answer: ChatAnswer;
  readonly notes: readonly string[];
}

/** Asks a first question in the ways that servers know, until one gives text and counts. @throws ConfigError, RequestError */
async function findDialect(
  asking: Asking & { readonly streams: boolean | undefined },
): Promise<FoundDialect> {
  const { servedModel, url, retry, signal, streams } = asking;
  const doing = `asking ${servedModel} at ${url.shown}`;
  let dialect: Dialect = { streams: streams ?? true, takesStreamOptions: true, limitField: "max_tokens" };
  for (;;) {
    const now = { ...asking, dialect };
    try {
      const request = { ...PROBE, ...(signal && { signal }) };
      const answer = await retrying(() => askOnce(now, request, { doing }), retry, signal);
      if (answer.usage !== undefined) return { dialect, answer, notes: notesOf(dialect, streams) };
      if (!dialect.streams || streams === true)
        throw new RequestError(
          `${doing}: the server ${dialect.streams ? "counts no tokens in streams; leave --stream out" : "gives no usage (counts of tokens), which is needed"}`,
        );
      dialect = { ...dialect, streams: false };
    } catch (error) {
      const next = error instanceof Refusal ? otherDialect(dialect, error.said) : undefined;
      if (next === undefined) throw error;
      dialect = next;
    }
  }
}

/** What to change after a refusal; undefined if nothing is left. */
function otherDialect(dialect: Dialect, said: string): Dialect | undefined {
  if (dialect.limitField === "max_tokens" && /max_completion_tokens|'max_tokens'|"max_tokens"/.test(said))
    return { ...dialect, limitField: "max_completion_tokens" };
  if (dialect.streams && dialect.takesStreamOptions && /stream_options|include_usage/.test(said))
    return { ...dialect, takesStreamOptions: false };
  if (dialect.streams && /\bstream/.test(said)) return { ...dialect, streams: false };
  return undefined;
}

function notesOf(dialect: Dialect, asked: boolean | undefined): readonly string[] {
  const notes = ["sampling values that are left out are the server's own"];
  if (!dialect.streams && asked !== false)
    notes.push("the server counts no tokens in streams, so answers come whole, and no token is timed");
  return notes;
}

function reportOf({
  url,
  servedModel,
  model,
  found,
  tokenizer,
}: {
  readonly url: EndpointUrl;
  readonly servedModel: string;
  readonly model: ListedModel | undefined;
  readonly found: FoundDialect;
  readonly tokenizer: string;
}): SolverReport {
  const { dialect, answer, notes } = found;
  const { root, contextLength } = model ?? {};
  return {
    model: servedModel,
    identity: {
      protocol: "openai-chat-completions",
      servedModel,
      ...(root !== undefined && { root }),
      tokenizer,
    },
    facts: {
      endpoint: url.shown,
      ...dialect,
      ...(contextLength !== undefined && { contextLength }),
      ...(answer.fingerprint !== undefined && { systemFingerprint: answer.fingerprint }),
    },
    notes,
  };
}
