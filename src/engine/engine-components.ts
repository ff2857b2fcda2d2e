import type { AttentionModel, AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import type { PoolOptions } from "../kv/cache-sizer.ts";
import type { ChatTemplate } from "../load/chat-template.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ModelWeights } from "../model/weights.ts";
import type { EngineOrigin } from "./engine-report.ts";
import type { SamplingDefaults } from "./sampler.ts";
import type { RopeWriter } from "./step-batch.ts";

/** What a checkpoint recommends for generation. */
export interface GenerationDefaults extends SamplingDefaults {
  /** Most tokens to generate. */
  readonly maxNewTokens?: number | undefined;
  /** Most tokens of prompt and output together; counts where maxNewTokens is left out. */
  readonly maxLength?: number | undefined;
  /** Values that would change what `transformers` generates and that are not followed. */
  readonly unsupported?: readonly string[];
}

/** Everything an engine is made of; `open.ts` puts it together. */
export interface EngineComponents {
  readonly backend: Backend;
  readonly weights: ModelWeights;
  readonly attentionModel: AttentionModel;
  readonly rope: RopeWriter;
  readonly tokenizer: Tokenizer;
  readonly renderChat: ChatTemplate;
  readonly eosTokenIds: readonly number[];
  readonly generationDefaults: GenerationDefaults;
  /** The checkpoint's own attention spec: stands in for settings that a request leaves out. */
  readonly attentionDefaults: string | undefined;
  /** The engine's own attention, where it was opened with one. */
  readonly attention: AttentionPolicy | string | undefined;
  readonly origin: EngineOrigin;
  /** How long prefill may hold up what else runs; left out: the engine's own limit for the backend. */
  readonly maxStallMs?: number | undefined;
  /** Sizes of the KV pool in place of those that follow from the model, and how long it stays without requests. */
  readonly pool?: Partial<PoolOptions>;
}
