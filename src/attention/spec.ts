import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { POLICIES, type PolicyRow, type SpecKey } from "./policies/index.ts";
import type { AttentionPolicy, SelectionLayersSource } from "./policy.ts";

/**
 * Reads an attention spec, `NAME[:key=value,...]`, e.g. `less-is-more:budget=256,layers=2+7`.
 * defaults: another spec (the checkpoint's). If it names the same policy, its settings replace those left out.
 * measured: specs by policy (a calibration's). Their settings replace those left out, before the defaults do.
 * @throws ConfigError on an unknown name or key, a repeated key, or an impossible value.
 */
export function parseAttention(
  spec: string,
  defaults?: string,
  measured?: ReadonlyMap<string, string>,
): AttentionPolicy {
  if (typeof spec !== "string")
    throw new ConfigError(`expected an attention spec such as "full", got ${printValue(spec)}`);
  const { name, options } = readSpec(spec);
  const row = POLICIES[name];
  if (!row) throw unknownName(name);
  // A checkpoint's spec of another policy is not used, so its faults do not count.
  const own = defaults?.split(":", 1)[0] === name ? readSpec(defaults).options : undefined;
  const known = measured?.get(name);
  if (own === undefined && known === undefined) return row.make(options);
  const found = known === undefined ? {} : ownOptions(row, readSpec(known).options, options);
  const filled = { ...found, ...options };
  const policy = row.make({ ...(own && ownOptions(row, own, filled)), ...filled });
  const from = sourceOfLayers({ own, found, options, isOwn: spec === defaults });
  return from && policy.selectionLayersFrom ? { ...policy, selectionLayersFrom: from } : policy;
}

/** Source of the selection layers of a spec; undefined: the policy says it. */
function sourceOfLayers({
  own,
  found,
  options,
  isOwn,
}: {
  readonly own: Record<string, unknown> | undefined;
  readonly found: Record<string, unknown>;
  readonly options: Record<string, unknown>;
  readonly isOwn: boolean;
}): SelectionLayersSource | undefined {
  if ("selectionLayers" in options) return isOwn ? "checkpoint" : undefined;
  if ("selectionLayers" in found) return "calibration";
  return own && "selectionLayers" in own ? "checkpoint" : undefined;
}

/** The options of a checkpoint's or a calibration's spec that stand in for those that a request leaves out. */
function ownOptions(
  row: PolicyRow,
  own: Record<string, unknown>,
  options: Record<string, unknown>,
): Record<string, unknown> {
  if (!("selectionLayers" in options)) return own;
  return Object.fromEntries(Object.entries(own).filter(([option]) => !row.ofLayers?.includes(option)));
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
 * values fit together. Returns the settings that it names.
 * @throws ConfigError
 */
export function checkSpelling(spec: string): Readonly<Record<string, unknown>> {
  return readSpec(spec).options;
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
    const value = setting.slice(equals + 1);
    if (meaning.kind === "layers" && value === "auto") continue; // as if left out
    options[meaning.option] = readValue(spec, key, value, meaning);
  }
  return { name, options };
}

function readValue(
  spec: string,
  key: string,
  text: string,
  meaning: SpecKey,
): number | number[] | string | Record<string, number[]> {
  if (meaning.kind === "text") return text;
  const read = (part: string) => {
    if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(part))
      throw new ConfigError(`attention spec "${spec}": ${key} must be a number, got "${part}"`);
    return Number(part);
  };
  if (meaning.kind === "maps") return readMaps(spec, key, text);
  return meaning.kind === "layers" ? text.split("+").map(read) : read(text);
}

/** Reads lists by layer: `1:0-0-2+3:1-0-2`. */
function readMaps(spec: string, key: string, text: string): Record<string, number[]> {
  const maps: Record<string, number[]> = {};
  for (const part of text.split("+")) {
    const [, layer, heads] = /^(\d+):(\d+(?:-\d+)*)$/.exec(part) ?? [];
    if (layer === undefined || heads === undefined)
      throw new ConfigError(
        `attention spec "${spec}": ${key} must be maps such as 1:0-0-2+3:1-0-2, got "${part}"`,
      );
    if (Object.hasOwn(maps, Number(layer)))
      throw new ConfigError(`attention spec "${spec}": ${key} names layer ${layer} twice`);
    maps[Number(layer)] = heads.split("-").map(Number);
  }
  return maps;
}

function keysOf(keys: Readonly<Record<string, SpecKey>>): string {
  return Object.keys(keys).join(", ") || "none (the policy has no settings)";
}

function unknownName(name: string): ConfigError {
  return new ConfigError(`unknown attention "${name}"; known are ${Object.keys(POLICIES).join(", ")}`);
}
