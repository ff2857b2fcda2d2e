/** Attention policies by others, each in a file of JavaScript. The file runs as code, so only a command line may name one. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isPolicy } from "../attention/is-policy.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";

/** A path before its settings: `./my-policy.mjs:budget=64,mode=fast`. */
const FORM = /^(?<path>.+?\.(?:mjs|cjs|js|mts|ts))(?::(?<settings>.*))?$/s;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A policy of a file. */
export interface LoadedPolicy {
  readonly policy: AttentionPolicy;
  /** Hash of the file's text; files that it imports are not in it. */
  readonly sha256: string;
}

/** Splits the spec of a file into its path and its settings, with their colon. */
export function splitPolicyFile(
  spec: string,
): { readonly path: string; readonly settings: string } | undefined {
  const { path, settings } = FORM.exec(spec)?.groups ?? {};
  return path === undefined ? undefined : { path, settings: settings === undefined ? "" : `:${settings}` };
}

/** True for a spec that names a file, which begins with a path: `./`, `../`, `/`, `~/` or a drive. */
export function namesPolicyFile(spec: string): boolean {
  return /^(\.{1,2}[\\/]|[\\/]|~[\\/]|[a-z]:[\\/])/i.test(spec);
}

/**
 * Loads a policy from a file outside the package: `PATH[:key=value,...]`. Its default export is a function of the settings, numbers
 * where they look like numbers and else texts, that returns a policy; or, without settings, a policy itself.
 * @throws ConfigError naming the file
 */
export async function loadPolicyFile(spec: string): Promise<LoadedPolicy> {
  const groups = FORM.exec(spec)?.groups;
  if (groups?.path === undefined)
    throw new ConfigError(
      `attention "${spec}": expected a JavaScript file and its settings, such as ./my-policy.mjs:budget=256`,
    );
  const path = resolve(groups.path.replace(/^~(?=[\\/])/, () => homedir()));
  const settings = readSettings(spec, groups.settings);
  const text = await readFile(path).catch((cause: unknown) => {
    throw new ConfigError(`attention ${groups.path}: cannot read the file: ${describe(cause)}`, { cause });
  });
  const module: unknown = await import(pathToFileURL(path).href).catch((cause: unknown) => {
    throw new ConfigError(`attention ${groups.path}: the file does not load: ${describe(cause)}`, { cause });
  });
  const policy = await makePolicy(basename(path), defaultOf(module), settings);
  return { policy, sha256: createHash("sha256").update(text).digest("hex") };
}

function readSettings(spec: string, text: string | undefined): Readonly<Record<string, string | number>> {
  const settings: Record<string, string | number> = {};
  if (text === undefined) return settings;
  for (const pair of text.split(",")) {
    const equals = pair.indexOf("=");
    const key = pair.slice(0, Math.max(0, equals));
    if (key === "") throw new ConfigError(`attention "${spec}": expected key=value, got "${pair}"`);
    if (Object.hasOwn(settings, key)) throw new ConfigError(`attention "${spec}": ${key} is given twice`);
    const value = pair.slice(equals + 1);
    Object.defineProperty(settings, key, {
      value: NUMBER.test(value) ? Number(value) : value,
      enumerable: true,
    });
  }
  return settings;
}

function defaultOf(module: unknown): unknown {
  return typeof module === "object" && module !== null && "default" in module ? module.default : undefined;
}

async function makePolicy(
  file: string,
  exported: unknown,
  settings: Readonly<Record<string, string | number>>,
): Promise<AttentionPolicy> {
  if (typeof exported !== "function" && !isPolicy(exported))
    throw new ConfigError(
      `attention ${file}: expected a default export that is a function of settings, or a policy; got ${printValue(exported)}`,
    );
  if (typeof exported !== "function") {
    if (Object.keys(settings).length > 0)
      throw new ConfigError(
        `attention ${file}: its default export is a policy, which takes no settings; export a function of them`,
      );
    return exported;
  }
  let made: unknown;
  try {
    made = await exported(settings);
  } catch (cause) {
    throw new ConfigError(`attention ${file}: its function failed: ${describe(cause)}`, { cause });
  }
  // The command line prints settings as JSON, which knows no bigint.
  if (
    !isPolicy(made) ||
    Object.values(made.settings)
      .flat()
      .some((value) => typeof value === "bigint")
  )
    throw new ConfigError(
      `attention ${file}: its function must return a policy (name: one word; settings: numbers, texts or lists of them; tokenBudget; layerRole; select); got ${printValue(made)}`,
    );
  return made;
}

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.message.split("\n", 1)[0] ?? "") : String(cause);
}
