import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { POLICIES, type SpecKey } from "./policies/index.ts";
import type { AttentionPolicy } from "./policy.ts";

/**
 * Reads an attention spec, `NAME[:key=value,...]`, e.g. `less-is-more:budget=256,layers=2+7`.
 * defaults: another spec (the checkpoint's). If it names the same policy, its settings replace those left out.
 * @throws ConfigError on an unknown name or key, a repeated key, or an impossible value.
 */
export function parseAttention(spec: string, defaults?: string): AttentionPolicy {
  if (typeof spec !== "string")
    throw new ConfigError(`expected an attention spec such as "full", got ${printValue(spec)}`);
  const { name, options } = readSpec(spec);
  const row = POLICIES[name];
  if (!row) throw unknownName(name);
  // A checkpoint's spec of another policy is not used, so its faults do not count.
  if (defaults === undefined || defaults.split(":", 1)[0] !== name) return row.make(options);
  const policy = row.make({ ...readSpec(defaults).options, ...options });
  const isOwn = spec === defaults || !("selectionLayers" in options);
  return isOwn && policy.selectionLayersFrom ? { ...policy, selectionLayersFrom: "checkpoint" } : policy;
}

/** Formats a policy as a spec: `less-is-more:budget=256,layers=2+7`. */
export function formatAttention({ name, settings }: Pick<AttentionPolicy, "name" | "settings">): string {
  const pairs = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join("+") : String(value)}`);
  return pairs.length === 0 ? name : `${name}:${pairs.join(",")}`;
}

/**
 * Checks only the spelling of a spec: name, keys and numbers. Only with the checkpoint's settings is it known whether the
 * values fit together.
 * @throws ConfigError
 */
export function checkSpelling(spec: string): void {
  readSpec(spec);
}

function readSpec(spec: string): { name: string; options: Record<string, unknown> } {
  const colon = spec.indexOf(":");
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const row = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (!row) throw unknownName(name);
  const options: Record<string, unknown> = {};
  if (colon < 0) return { name, options };
  for (const setting of spec.slice(colon + 1).split(",")) {
    const equals = setting.indexOf("=");
    const key = equals < 0 ? setting : setting.slice(0, equals);
    const meaning = Object.hasOwn(row.keys, key) ? row.keys[key] : undefined;
    if (equals < 0 || !meaning)
      throw new ConfigError(
        `attention spec "${spec}": expected key=value with a key of ${keysOf(row.keys)}, got "${setting}"`,
      );
    if (meaning.option in options) throw new ConfigError(`attention spec "${spec}": ${key} is given twice`);
    options[meaning.option] = readValue(spec, key, setting.slice(equals + 1), meaning);
  }
  return { name, options };
}

function readValue(spec: string, key: string, text: string, meaning: SpecKey): number | number[] {
  const read = (part: string) => {
    if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(part))
      throw new ConfigError(`attention spec "${spec}": ${key} must be a number, got "${part}"`);
    return Number(part);
  };
  return meaning.kind === "layers" ? text.split("+").map(read) : read(text);
}

function keysOf(keys: Readonly<Record<string, SpecKey>>): string {
  return Object.keys(keys).join(", ") || "none (the policy has no settings)";
}

function unknownName(name: string): ConfigError {
  return new ConfigError(`unknown attention "${name}"; known are ${Object.keys(POLICIES).join(", ")}`);
}
