import { Fingerprint } from "../base/fingerprint.ts";
import type { ModelConfig } from "./config.ts";
import type { WeightDtype } from "./weight-storage.ts";

/** Starts the fingerprint of a model with all besides its weights that decides its keys and values: sizes, norms, RoPE, precision. */
export function modelFingerprint(config: ModelConfig, dtype: WeightDtype): Fingerprint {
  const { family, maxPositionEmbeddings, contextLength, contextNote, contextKey, eosTokenIds, ...decisive } =
    config;
  return new Fingerprint().addText(JSON.stringify([family.architecture, dtype, decisive]));
}
