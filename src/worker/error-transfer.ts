/** Errors as data: they keep their class, message, fields and causes on the other thread. */
import {
  AbortedError,
  BackendError,
  ConfigError,
  type EngineError,
  ModelFileError,
  OutOfMemoryError,
  OutOfPagesError,
  RequestError,
  SessionError,
  ShapeError,
} from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";

type EngineErrorClass = new (message: string) => EngineError;

/** Classes by name; a subclass stands before its base. Names are literals, since minifiers rename classes. */
const ENGINE_ERRORS: readonly (readonly [string, EngineErrorClass])[] = [
  ["OutOfMemoryError", OutOfMemoryError],
  ["BackendError", BackendError],
  ["ConfigError", ConfigError],
  ["ModelFileError", ModelFileError],
  ["ShapeError", ShapeError],
  ["OutOfPagesError", OutOfPagesError],
  ["RequestError", RequestError],
  ["SessionError", SessionError],
  ["AbortedError", AbortedError],
];
const NATIVE_ERRORS: readonly (readonly [string, new (message: string) => Error])[] = [
  ["TypeError", TypeError],
  ["RangeError", RangeError],
  ["SyntaxError", SyntaxError],
  ["ReferenceError", ReferenceError],
  ["URIError", URIError],
  ["EvalError", EvalError],
];
const CLASSES = new Map<string, new (message: string) => Error>([...ENGINE_ERRORS, ...NATIVE_ERRORS]);

/** Limit on causes of causes; what lies deeper becomes a text. */
const MAX_CAUSES = 8;

/** An error as data. */
export interface SentError {
  /** The class that the receiver knows, "DOMException", or "Error". */
  readonly kind: string;
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: SentCause;
  /** Own members besides those above, such as a system error's `code`. */
  readonly fields: Readonly<Record<string, unknown>>;
}

type SentCause = { readonly error: SentError } | { readonly value: unknown };

/** Makes data of an error, or of any other value that was thrown. Never throws. */
export function encodeError(error: unknown): SentError {
  return encode(error instanceof Error ? error : new Error(printValue(error)), MAX_CAUSES);
}

function encode(error: Error, depth: number): SentError {
  const { name, message, stack, cause } = error;
  return {
    kind: kindOf(error),
    name: String(name),
    message: String(message),
    ...(typeof stack === "string" && { stack }),
    ...(cause !== undefined && { cause: encodeCause(cause, depth) }),
    fields: fieldsOf(error),
  };
}

function encodeCause(cause: unknown, depth: number): SentCause {
  if (depth === 0) return { value: String(cause) };
  if (cause instanceof Error) return { error: encode(cause, depth - 1) };
  return { value: cloneable(cause) ?? printValue(cause) };
}

function kindOf(error: Error): string {
  const known = [...ENGINE_ERRORS, ...NATIVE_ERRORS].find(([, one]) => error instanceof one);
  if (known) return known[0];
  return typeof DOMException === "function" && error instanceof DOMException ? "DOMException" : "Error";
}

function fieldsOf(error: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error)) {
    const clone = ["name", "message", "stack", "cause"].includes(key) ? undefined : cloneable(value);
    if (clone !== undefined) fields[key] = clone;
  }
  return fields;
}

/** The value, if it can be sent. */
function cloneable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return undefined;
  }
}

/** Makes the error again. Its stack is that of the thread on which it was thrown. */
export function decodeError(sent: SentError): Error {
  const { kind, name, message, stack, cause, fields } = sent;
  const error = create(kind, name, message);
  for (const [key, value] of Object.entries(fields)) define(error, key, value, true);
  if (kind !== "DOMException" && error.name !== name) define(error, "name", name);
  if (stack !== undefined) define(error, "stack", stack);
  if (cause) define(error, "cause", "error" in cause ? decodeError(cause.error) : cause.value);
  return error;
}

function create(kind: string, name: string, message: string): Error {
  if (kind === "DOMException") return new DOMException(message, name);
  const Known = CLASSES.get(kind);
  return Known ? new Known(message) : new Error(message);
}

function define(error: Error, key: string, value: unknown, enumerable = false): void {
  Object.defineProperty(error, key, { value, enumerable, configurable: true, writable: true });
}
