import { BackendError, ConfigError, RequestError } from "../../src/node/index.ts";

/** A failure that may pass: the network, a cut, a busy server. */
export class PassingFailure extends Error {
  /** Milliseconds for which the server asks to wait. */
  readonly waitMs: number | undefined;
  constructor(message: string, { waitMs, cause }: { waitMs?: number | undefined; cause?: unknown } = {}) {
    super(message, { cause });
    this.name = "PassingFailure";
    this.waitMs = waitMs;
  }
}

/** A server's refusal of a request, which would be refused again. */
export class Refusal extends RequestError {
  readonly status: number;
  /** What the server said. */
  readonly said: string;
  constructor(message: string, { status, said }: { readonly status: number; readonly said: string }) {
    super(message);
    this.status = status;
    this.said = said;
  }
}

const MAX_SAID = 500;

/** Makes the error of an HTTP status other than success. `said`: the body, secrets removed. */
export function errorOfStatus(
  doing: string,
  {
    status,
    said,
    waitMs,
  }: { readonly status: number; readonly said: string; readonly waitMs: number | undefined },
): Error {
  const message = `${doing}: the server answered ${status}${said === "" ? "" : ` (${shorten(said)})`}`;
  if (status === 408 || status === 409 || status === 425 || status === 429 || status >= 500)
    return new PassingFailure(message, { waitMs });
  if (status === 401 || status === 403)
    return new BackendError(`${message}; name the variable that holds the key with --api-key-env`);
  if (status >= 300 && status < 400)
    return new ConfigError(
      `${message}, a redirect, which is not followed; name the address that it leads to`,
    );
  if (status === 404)
    return new BackendError(`${message}; check --endpoint (it mostly ends in /v1) and --served-model`);
  return new Refusal(message, { status, said });
}

/** The message in the body of an error; the body itself if it has none. */
export function messageOf(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    const error = fieldOf(parsed, "error") ?? parsed;
    const message = fieldOf(error, "message") ?? fieldOf(error, "detail") ?? error;
    return typeof message === "string" ? message : JSON.stringify(message);
  } catch {
    return body.trim();
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, " ").replace(/\p{Cc}/gu, "");
  return line.length > MAX_SAID ? `${line.slice(0, MAX_SAID)}…` : line;
}
