import type { AttentionModel, AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ModelWeights } from "../model/weights.ts";
import type { ChatMessage } from "./request.ts";
import type { SamplingDefaults } from "./sampler.ts";
import type { RopeWriter } from "./step-batch.ts";

/** Everything an engine is made of; `open.ts` puts it together. */
export interface EngineParts {
  readonly backend: Backend;
  readonly weights: ModelWeights;
  readonly attentionModel: AttentionModel;
  readonly rope: RopeWriter;
  readonly tokenizer: Tokenizer;
  readonly renderChat: (messages: readonly ChatMessage[]) => string;
  readonly eosTokenIds: readonly number[];
  readonly sampling: SamplingDefaults;
  /** The checkpoint's own attention spec: stands in for settings that a request leaves out. */
  readonly attentionDefaults: string | undefined;
  /** The policy of requests that name none. */
  readonly attention: AttentionPolicy | string;
}
