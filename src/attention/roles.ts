import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { windowOf } from "./layer-windows.ts";
import { type AttentionModel, type AttentionPolicy, DENSE, type LayerRole } from "./policy.ts";

/** What roles depend on besides the policy. */
type Layers = Pick<AttentionModel, "numLayers" | "numKvHeads" | "windows">;

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
    const role = checkRole(policy.layerRole(layer), layer, model);
    return windowOf(model, layer) === undefined ? role : DENSE;
  });
  KNOWN.set(policy, { of: model, roles });
  return roles;
}

function checkRole(role: LayerRole, layer: number, model: Layers): LayerRole {
  const isRole =
    isObject(role) &&
    (role.attends === "all" || role.attends === "selected") &&
    typeof role.selects === "boolean";
  if (!isRole)
    throw new TypeError(
      `layerRole(${layer}) must give { attends: "all" or "selected", selects: true or false }, got ${printValue(role)}`,
    );
  if (role.headMap !== undefined) checkMap(role, layer, model);
  return role;
}

function checkMap({ attends, selects, headMap }: LayerRole, layer: number, { numKvHeads }: Layers): void {
  if (attends !== "selected" || selects)
    throw new TypeError(
      `layerRole(${layer}) gives a headMap, but only a layer that reuses a selection has one`,
    );
  const isMap =
    Array.isArray(headMap) &&
    headMap.length === numKvHeads &&
    headMap.every((head) => Number.isInteger(head) && head >= 0 && head < numKvHeads);
  if (!isMap)
    throw new TypeError(
      `layerRole(${layer}): headMap must name a kv head from 0 to ${numKvHeads - 1} for each of ${numKvHeads}, ` +
        `got ${printValue(headMap)}`,
    );
}
