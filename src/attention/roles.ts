import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { AttentionPolicy, LayerRole } from "./policy.ts";

const KNOWN = new WeakMap<AttentionPolicy, readonly LayerRole[]>();

/**
 * Returns the roles of a policy's layers. It asks for each layer and checks the answer once, at the policy's first use.
 * @throws TypeError when the policy returns no role, and any error of the policy
 */
export function rolesOf(policy: AttentionPolicy, numLayers: number): readonly LayerRole[] {
  const known = KNOWN.get(policy);
  if (known?.length === numLayers) return known;
  const roles = Array.from({ length: numLayers }, (_, layer) => checkRole(policy.layerRole(layer), layer));
  KNOWN.set(policy, roles);
  return roles;
}

function checkRole(role: LayerRole, layer: number): LayerRole {
  const isRole =
    isObject(role) &&
    (role.attends === "all" || role.attends === "selected") &&
    typeof role.selects === "boolean";
  if (isRole) return role;
  throw new TypeError(
    `layerRole(${layer}) must give { attends: "all" or "selected", selects: true or false }, got ${printValue(role)}`,
  );
}
