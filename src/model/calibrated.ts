import { windowOf } from "../attention/layer-windows.ts";
import type { AttentionModel } from "../attention/policy.ts";
import { parseAttention } from "../attention/spec.ts";
import { ConfigError } from "../base/errors.ts";
import type { Checkpoint } from "../load/checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { attentionModelOf } from "./model-size.ts";

/** What a checkpoint and its calibration say of attention. */
export interface AttentionFacts {
  readonly model: AttentionModel;
  /** Spec of requests that name none. */
  readonly defaults: string | undefined;
  /** Why a calibration is not used. */
  readonly notes: readonly string[];
}

/** A calibration comes before the checkpoint's own words: somebody measured this model, perhaps on their text. */
export function attentionFactsOf(
  { generationConfig, tokenizer, calibration }: Checkpoint,
  config: ModelConfig,
  pageSize: number,
): AttentionFacts {
  const model = attentionModelOf(config, pageSize, tokenizer);
  const own = generationConfig.attention;
  if (calibration === undefined) return { model, defaults: own, notes: [] };
  const { selectionLayers: layers, attention, policies } = calibration;
  const wrong = layers?.find((layer) => layer >= model.numLayers || windowOf(model, layer) !== undefined);
  if (wrong !== undefined)
    return { model, defaults: own, notes: [notUsed(`layer ${wrong} of its selectionLayers cannot select`)] };
  const calibrated: AttentionModel = {
    ...model,
    ...(layers && { defaultSelectionLayers: layers, defaultSelectionLayersFrom: "calibration" as const }),
    ...(policies.length > 0 && {
      measuredSettings: new Map(policies.map((spec) => [nameOf(spec), spec])),
    }),
  };
  try {
    // Settings that the model cannot have would stop requests that name none of them.
    for (const spec of [...policies, ...(attention === undefined ? [] : [attention])])
      parseAttention(spec).forModel?.(model);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { model, defaults: own, notes: [notUsed(error.message)] };
  }
  const measured = calibrated.measuredSettings?.get(nameOf(own)) ?? "";
  const keys = [...(layers ? ["layers"] : []), ...settingsOf(measured).map(keyOf)];
  return { model: calibrated, defaults: attention ?? without(own, keys), notes: [] };
}

function notUsed(reason: string): string {
  return `the calibration beside the model is not used: ${reason}; lessismore calibrate makes it anew`;
}

/** A spec without settings that the calibration has. */
function without(spec: string | undefined, keys: readonly string[]): string | undefined {
  if (spec === undefined) return undefined;
  const kept = settingsOf(spec).filter((setting) => !keys.includes(keyOf(setting)));
  return kept.length === 0 ? nameOf(spec) : `${nameOf(spec)}:${kept.join(",")}`;
}

function nameOf(spec = ""): string {
  return spec.split(":", 1)[0] ?? "";
}

/** `key=value` each. */
function settingsOf(spec: string): readonly string[] {
  const [, settings = ""] = spec.split(/:(.*)/s);
  return settings === "" ? [] : settings.split(",");
}

function keyOf(setting: string): string {
  return setting.split("=", 1)[0] ?? "";
}
