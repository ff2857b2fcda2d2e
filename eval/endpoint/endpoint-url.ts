import { ConfigError } from "../../src/node/index.ts";

/** The addresses of an OpenAI-compatible server. */
export interface EndpointUrl {
  /** For people and for records: without what may be secret. */
  readonly shown: string;
  readonly chat: URL;
  readonly models: URL;
}

/**
 * Reads the address of a server: `http://host:8000`, `https://host/v1`, or that of its chat completions. Without a path it
 * gets /v1, where servers have their API.
 * @throws ConfigError on what is no such address, and on a password in it
 */
export function readEndpointUrl(text: string): EndpointUrl {
  const expected = "expected the address of an OpenAI-compatible server, such as http://localhost:8000/v1";
  if (!URL.canParse(text)) throw new ConfigError(`--endpoint: this is no address; ${expected}`);
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new ConfigError(`--endpoint: the address begins with ${url.protocol}; ${expected}`);
  if (url.username !== "" || url.password !== "")
    throw new ConfigError(
      "--endpoint: the address has a password in it, which would stand in the results; name a variable of the environment " +
        "with --api-key-env",
    );
  const path = url.pathname.replace(/\/+$/, "").replace(/\/chat\/completions$/, "");
  const base = path === "" ? "/v1" : path;
  const at = (end: string) => {
    const target = new URL(url);
    target.pathname = `${base}${end}`;
    target.hash = "";
    return target;
  };
  return { shown: `${url.origin}${base}`, chat: at("/chat/completions"), models: at("/models") };
}

/**
 * Reads an API key from the environment.
 * @throws ConfigError when the variable is empty or holds what no header may hold; the message never shows it
 */
export function readApiKey(
  name: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (name === undefined) return undefined;
  if (!/^[A-Za-z_]\w*$/.test(name))
    // The name may be the key itself, given by mistake.
    throw new ConfigError("--api-key-env: expected the name of a variable of the environment, not the key");
  const key = environment[name]?.trim();
  if (key === undefined || key === "")
    throw new ConfigError(`--api-key-env ${name}: the environment has no such variable, or it is empty`);
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new ConfigError(`--api-key-env ${name}: the key has characters that no key has; copy it again`);
  return key;
}
