import type { AttentionModel, AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import type { KeptMemory, MemoryLimit } from "../backend/backend-kind.ts";
import type { PoolOptions } from "../kv/cache-sizer.ts";
import type { ChatTemplate } from "../load/chat-template.ts";
import type { ReasoningMarkers } from "../load/reasoning-markers.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ModelWeights } from "../model/weights.ts";
import type { EngineOrigin } from "./engine-report.ts";
import type { GateSource } from "./gate-store.ts";
import type { SamplingDefaults } from "./sampler.ts";
import type { RopeWriter } from "./step-batch.ts";

/** Generation values that a checkpoint recommends. */
export interface GenerationDefaults extends SamplingDefaults {
  /** Maximum tokens to generate. */
  readonly maxNewTokens?: number | undefined;
  /** Maximum tokens of prompt and output together; counts if maxNewTokens is left out. */
  readonly maxLength?: number | undefined;
  /** Values that change the output of `transformers` and that the engine ignores. */
  readonly unsupported?: readonly string[];
}

/** Components of an engine; `open.ts` creates them. */
export interface EngineComponents {
  readonly backend: Backend;
  readonly weights: ModelWeights;
  readonly attentionModel: AttentionModel;
  /** One for each table of RoPE that layers read. */
  readonly ropes: readonly RopeWriter[];
  readonly tokenizer: Tokenizer;
  readonly renderChat: ChatTemplate;
  /** The texts of its templates. */
  readonly chatTemplates?: readonly string[];
  /** The markers between which this model reasons. */
  readonly reasoningMarkers: ReasoningMarkers;
  readonly eosTokenIds: readonly number[];
  readonly generationDefaults: GenerationDefaults;
  /** The checkpoint's own attention spec. It resolves settings that a request leaves out. */
  readonly attentionDefaults: string | undefined;
  /** Attention option of the engine; undefined if left out. */
  readonly attention: AttentionPolicy | string | undefined;
  /** Where gates of policies come from. Absent: a policy with a gate is a ConfigError. */
  readonly gates?: GateSource;
  readonly origin: EngineOrigin;
  /** The backend's limit with what policies keep beside the cache. Absent: allocation alone shows what fits. */
  readonly limitWith?: ((kept: KeptMemory) => MemoryLimit) | undefined;
  /** Maximum stall of other work by a prefill chunk. Default: the engine's limit for the backend. */
  readonly maxStallMs?: number | undefined;
  /** Overrides the sizes and the idle delay of the KV pool. */
  readonly pool?: Partial<PoolOptions>;
}
