/** What a calibration's file says, and what it keeps of the one before it. */
import { CALIBRATION_FORMAT, type Calibration } from "../../src/node/index.ts";
import type { CalibratedPolicy } from "./candidates.ts";
import type { Ranked } from "./search.ts";

export interface Finding {
  readonly policy: CalibratedPolicy;
  readonly identity: string;
  readonly chosen: Ranked;
  /** Makes the setting that of requests that name no attention. */
  readonly isDefault: boolean;
  /** For people. */
  readonly measured: object;
}

/**
 * The contents of `sparse-attention.json`. What was found for other policies stays. The selection layers of less-is-more have a field of their
 * own: other policies take them as well until they have their own.
 */
export function calibrationOf(
  { policy, identity, chosen, isDefault, measured }: Finding,
  found: Calibration | undefined,
): Record<string, unknown> {
  const ownsLayers = policy === "less-is-more";
  const selectionLayers = ownsLayers ? chosen.layers : found?.selectionLayers;
  const own = without(chosen.spec, ownsLayers ? ["budget", "layers"] : ["budget"]);
  const others = (found?.policies ?? []).filter((spec) => nameOf(spec) !== policy);
  const policies = [...others, ...(own === policy ? [] : [own])];
  const attention = isDefault ? without(chosen.spec, ["layers", "anchors", "maps"]) : found?.attention;
  return {
    format: CALIBRATION_FORMAT,
    model: identity,
    ...(selectionLayers && { selectionLayers }),
    ...(attention !== undefined && { attention }),
    ...(policies.length > 0 && { policies }),
    measured,
  };
}

/** A spec without some of its settings. */
function without(spec: string, keys: readonly string[]): string {
  const [name = "", settings = ""] = spec.split(/:(.*)/s);
  const kept = settings
    .split(",")
    .filter((setting) => setting !== "" && !keys.includes(setting.split("=")[0] ?? ""));
  return kept.length === 0 ? name : `${name}:${kept.join(",")}`;
}

function nameOf(spec: string): string {
  return spec.split(":", 1)[0] ?? "";
}
