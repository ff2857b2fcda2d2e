import { ConfigError } from "../base/errors.ts";
import type { AttentionModel } from "./policy.ts";

/** Tokens that a layer attends to at most: its sliding window. undefined: it attends to all. */
export function windowOf({ windows }: Pick<AttentionModel, "windows">, layer: number): number | undefined {
  return windows?.[layer];
}

/** The layers that attend to all tokens, ascending. A policy selects in these alone. */
export function globalLayers(model: Pick<AttentionModel, "numLayers" | "windows">): readonly number[] {
  const layers = Array.from({ length: model.numLayers }, (_, layer) => layer);
  return layers.filter((layer) => windowOf(model, layer) === undefined);
}

/** key: of the setting that names the layers. @throws ConfigError for a selection layer past the model's last, or one that sees a sliding window alone */
export function checkSelectionLayers(
  policy: string,
  layers: readonly number[],
  model: Pick<AttentionModel, "numLayers" | "windows">,
  key = "layers",
): void {
  const last = layers[layers.length - 1] ?? 0;
  if (last >= model.numLayers)
    throw new ConfigError(
      `attention ${policy}: ${key} names layer ${last}, but the model's layers are 0 to ${model.numLayers - 1}`,
    );
  const sliding = layers.find((layer) => windowOf(model, layer) !== undefined);
  if (sliding !== undefined)
    throw new ConfigError(
      `attention ${policy}: ${key} names layer ${sliding}, which attends to a sliding window of ` +
        `${windowOf(model, sliding)} tokens and selects nothing; layers that attend to all are ` +
        globalLayers(model).join(", "),
    );
}
