/** Kinds of failure that a caller can tell apart. The server maps each to one status. */
export type EngineErrorCode =
  | "config"
  | "model-file"
  | "shape"
  | "backend"
  | "out-of-pages"
  | "request"
  | "session"
  | "aborted";

/** Names as literals, since minifiers rename classes. */
const NAMES: Readonly<Record<EngineErrorCode, string>> = {
  config: "ConfigError",
  "model-file": "ModelFileError",
  shape: "ShapeError",
  backend: "BackendError",
  "out-of-pages": "OutOfPagesError",
  request: "RequestError",
  session: "SessionError",
  aborted: "AbortedError",
};

/**
 * Base of every error the engine raises on purpose.
 * A message names the action, the expected value, the value found, and the next step.
 */
export class EngineError extends Error {
  readonly code: EngineErrorCode;
  constructor(code: EngineErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.name = NAMES[code];
  }
}

/** A configuration value (model config, attention spec, engine option) is unknown or impossible. */
export class ConfigError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("config", message, options);
  }
}

/** A file of a checkpoint is missing, damaged, or disagrees with its config. */
export class ModelFileError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("model-file", message, options);
  }
}

/** A tensor or weight does not have the shape that an op needs. */
export class ShapeError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("shape", message, options);
  }
}

/** A backend cannot be opened, lost its device, or ran out of memory. */
export class BackendError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("backend", message, options);
  }
}

/** A device or the machine has no memory left for a backend's buffers. */
export class OutOfMemoryError extends BackendError {}

/** The KV cache has no free page left for a request. */
export class OutOfPagesError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("out-of-pages", message, options);
  }
}

/** A request asks for something the engine cannot do. */
export class RequestError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("request", message, options);
  }
}

/** damaged: no whole session; version: of another version of the format; model, cache: of another model, of a cache kept otherwise. */
export type SessionErrorReason = "damaged" | "version" | "model" | "cache";

/** A saved session cannot be used by this engine. The conversation can go on without it, from its text. */
export class SessionError extends EngineError {
  readonly reason: SessionErrorReason;
  constructor(
    message: string,
    { reason = "damaged", cause }: { readonly reason?: SessionErrorReason; readonly cause?: unknown } = {},
  ) {
    super("session", message, { cause });
    this.reason = reason;
  }
}

/** The request was aborted by its signal, by leaving its iterator early, or by closing the engine. */
export class AbortedError extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("aborted", message, options);
  }
}
