import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { isPolicy } from "./is-policy.ts";
import { globalLayers } from "./layer-windows.ts";
import type { AttentionModel, AttentionPolicy } from "./policy.ts";
import { parseAttention } from "./spec.ts";

/** Picks the first attention named. Callers pass that of the request, the engine and the checkpoint, in this order. Default: full. */
export function firstNamed(
  ...named: readonly (AttentionPolicy | string | undefined)[]
): AttentionPolicy | string {
  return named.find((one) => one !== undefined) ?? "full";
}

/**
 * Binds a policy, or the policy of a spec, to a model.
 * defaults: the checkpoint's own spec, whose settings stand in for those that a spec of the same policy leaves out, after those that the
 * model's calibration has.
 * @throws ConfigError when the policy is impossible for the model.
 */
export function bindAttention(
  attention: AttentionPolicy | string,
  model: AttentionModel,
  defaults?: string,
): AttentionPolicy {
  const policy =
    typeof attention === "string" ? parseAttention(attention, defaults, model.measuredSettings) : attention;
  const bound = bind(policy, model);
  if (!isPolicy(bound))
    throw new ConfigError(`attention ${policy.name}: forModel gave no policy but ${printValue(bound)}`);
  return bound;
}

function bind(policy: AttentionPolicy, model: AttentionModel): AttentionPolicy {
  if (policy.select && globalLayers(model).length === 0)
    throw new ConfigError(
      `attention ${policy.name}: every layer of the model attends to a sliding window, so that none can select; use full`,
    );
  try {
    return policy.forModel?.(model) ?? policy;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`attention ${policy.name}: forModel failed: ${String(error)}`, { cause: error });
  }
}
