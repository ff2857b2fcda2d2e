/** The environment of Python's huggingface_hub: the same variables mean the same here. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../../base/errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface HubSettings {
  /** The folder of the cache, which may not exist yet. */
  readonly cacheFolder: string;
  /** The hub's address, without a slash at its end. */
  readonly url: string;
  readonly token: string | undefined;
  /** Why no request may be made; undefined if requests may be made. */
  readonly offlineReason: string | undefined;
  /** A request ends after this time without progress. */
  readonly stallMs: number;
  /** False if the cache must hold copies in place of links. */
  readonly usesLinks: boolean;
}

/**
 * Each value is read when it is asked for: a bad one stops only what needs it.
 * `url`, `token` and `stallMs` throw a ConfigError when HF_ENDPOINT is no URL, a token file cannot be read, or a timeout is no number.
 */
export function readHubSettings(
  environment: Environment = process.env,
  home: string = homedir(),
): HubSettings {
  const get = (name: string) => {
    const value = environment[name];
    return value === undefined || value === "" ? undefined : expand(value, environment, home);
  };
  const hubHome = get("HF_HOME") ?? join(get("XDG_CACHE_HOME") ?? join(home, ".cache"), "huggingface");
  const isDenied = isTrue(environment.HF_HUB_DISABLE_IMPLICIT_TOKEN);
  const offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find((name) => isTrue(environment[name]));
  return {
    cacheFolder: get("HF_HUB_CACHE") ?? get("HUGGINGFACE_HUB_CACHE") ?? join(hubHome, "hub"),
    get url() {
      return readEndpoint(environment.HF_ENDPOINT);
    },
    get token() {
      return isDenied ? undefined : readToken(environment, get("HF_TOKEN_PATH") ?? join(hubHome, "token"));
    },
    offlineReason: offline === undefined ? undefined : `${offline} is set`,
    get stallMs() {
      return readSeconds(environment.HF_HUB_DOWNLOAD_TIMEOUT) ?? DEFAULT_STALL_MS;
    },
    usesLinks: !isTrue(environment.HF_HUB_DISABLE_SYMLINKS),
  };
}

/** Python's library ends a request after 10 s without a byte, and tries again. */
const DEFAULT_STALL_MS = 30_000;

/** @throws ConfigError */
function readSeconds(value: string | undefined): number | undefined {
  if (value === undefined || value === "") return undefined;
  if (/^\d{1,6}$/.test(value) && Number(value) > 0) return 1000 * Number(value);
  throw new ConfigError(`HF_HUB_DOWNLOAD_TIMEOUT: expected a whole number of seconds, got "${value}"`);
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}

/** Expands `~`, `$NAME` and `${NAME}`, as Python's expanduser and expandvars; unknown names stay. */
function expand(value: string, environment: Environment, home: string): string {
  const path = value.replace(/^~(?=$|[\\/])/, () => home);
  return path.replace(
    /\$(\w+|\{\w+\})/g,
    (text, name: string) => environment[name.replace(/[{}]/g, "")] ?? text,
  );
}

function readEndpoint(value: string | undefined): string {
  if (value === undefined || value === "") return "https://huggingface.co";
  let url: URL;
  try {
    url = new URL(value);
  } catch (cause) {
    throw new ConfigError(
      `HF_ENDPOINT: "${value}" is no URL; expected the address of a hub, such as https://huggingface.co`,
      {
        cause,
      },
    );
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new ConfigError(
      `HF_ENDPOINT: expected an address that begins with https:// or http://, got "${value}"`,
    );
  return value.replace(/\/+$/, "");
}

/** HF_TOKEN, else the file that `hf auth login` writes. */
function readToken(environment: Environment, path: string): string | undefined {
  const named = clean(environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN);
  return checkToken(named, "HF_TOKEN") ?? checkToken(clean(readIfThere(path)), path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR"))
      return undefined;
    throw new ConfigError(
      `reading the token of the hub from ${path}: ${String(cause)}; set HF_TOKEN, or remove the file`,
      {
        cause,
      },
    );
  }
}

function clean(token: string | undefined): string | undefined {
  const cleaned = token?.replace(/[\r\n]/g, "").trim();
  return cleaned === "" ? undefined : cleaned;
}

/** A header takes visible ASCII only; the message must not show the token. */
function checkToken(token: string | undefined, source: string): string | undefined {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new ConfigError(
      `${source}: the token has characters that no token has; copy it again, without spaces`,
    );
  return token;
}
