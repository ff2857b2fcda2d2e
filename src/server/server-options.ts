/** What a server is opened with. */
import * as v from "valibot";
import { checkOptions, numberThat, wholeNumberFrom } from "../base/check-options.ts";
import { ConfigError } from "../base/errors.ts";

/** What a server takes and refuses. Times are in milliseconds. */
export interface ServerOptions {
  /** Name of the model in requests and answers. */
  readonly modelName: string;
  /** Keys of which a request must have one. Default: none is asked for. */
  readonly apiKeys?: readonly string[];
  /** Origins whose pages may ask, or "*". Default: those of this machine. */
  readonly corsOrigins?: readonly string[];
  /** Bytes of the largest body. Default 8 MB. */
  readonly maxBodyBytes?: number;
  /** Maximum choices that wait. Default 256. */
  readonly maxQueue?: number;
  /** Milliseconds that a call may take; 0: without limit. Default an hour. */
  readonly requestTimeoutMs?: number;
  /** How often an engine that has ended is opened again within ten minutes, before the server gives it up. Default 5. */
  readonly maxRestarts?: number;
  /** The policy that the engine was opened with, if it is a spec: requests may name its gate, too. */
  readonly attention?: string | undefined;
  /** Milliseconds without an event after which a stream has a comment. Default 10 s. */
  readonly heartbeatMs?: number;
  /** Milliseconds for which a reader may leave an event unread. Default 120 s. */
  readonly stallMs?: number;
  /** Takes a line about a failure that is the server's own. Default: `console.error`. */
  readonly log?: (line: string) => void;
}

export type ResolvedServerOptions = Required<ServerOptions>;

const DEFAULTS = {
  apiKeys: [],
  corsOrigins: [],
  maxBodyBytes: 8_000_000,
  maxQueue: 256,
  requestTimeoutMs: 3_600_000,
  maxRestarts: 5,
  attention: undefined,
  heartbeatMs: 10_000,
  stallMs: 120_000,
  log: (line: string) => console.error(`lessismore: ${line}`),
};

const NAME = "a name that is not empty, without control characters";
const name = v.pipe(v.string(NAME), v.regex(/^\P{Cc}+$/u, NAME));
const KEY = "a key that is not empty";
const milliseconds = () => numberThat("a number of milliseconds, 0 or more", (ms) => ms >= 0 && ms < 2 ** 31);
const SCHEMA = v.object({
  modelName: v.optional(name, ""), // left out, it is refused as well
  apiKeys: v.optional(v.array(v.pipe(v.string(KEY), v.minLength(1, KEY)), "a list of keys")),
  corsOrigins: v.optional(v.array(v.string("an origin"), "a list of origins")),
  maxBodyBytes: wholeNumberFrom(1),
  maxQueue: wholeNumberFrom(1),
  requestTimeoutMs: milliseconds(),
  maxRestarts: wholeNumberFrom(0),
  attention: v.optional(v.string("a spec")),
  heartbeatMs: milliseconds(),
  stallMs: milliseconds(),
  log: v.optional(v.custom<(line: string) => void>((value) => typeof value === "function", "a function")),
});

/** @throws ConfigError on unknown options and impossible values */
export function resolveServerOptions(given: ServerOptions): ResolvedServerOptions {
  const checked = checkOptions(SCHEMA, given, "InferenceServer", ConfigError);
  const named = Object.fromEntries(Object.entries(checked).filter(([, value]) => value !== undefined));
  return { modelName: checked.modelName, ...DEFAULTS, ...named };
}
