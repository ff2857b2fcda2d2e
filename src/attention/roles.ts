import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { windowOf } from "./layer-windows.ts";
import { type AttentionModel, type AttentionPolicy, DENSE, type LayerRole } from "./policy.ts";

/** What roles depend on besides the policy. */
type Layers = Pick<AttentionModel, "numLayers" | "windows">;

const KNOWN = new WeakMap<AttentionPolicy, { readonly of: Layers; readonly roles: readonly LayerRole[] }>();

/**
 * Returns the roles of a policy's layers. It asks for each layer and checks the answer once, at the policy's first use on a
 * model. Sliding layers are dense: their window is all that they see.
 * @throws TypeError when the policy returns no role, and any error of the policy
 */
export function rolesOf(policy: AttentionPolicy, model: Layers): readonly LayerRole[] {
  const known = KNOWN.get(policy);
  if (known?.of === model) return known.roles;
  const roles = Array.from({ length: model.numLayers }, (_, layer) => {
    const role = checkRole(policy.layerRole(layer), layer);
    return windowOf(model, layer) === undefined ? role : DENSE;
  });
  KNOWN.set(policy, { of: model, roles });
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
