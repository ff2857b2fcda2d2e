/** What an engine's attention policy keeps beside the cache, before the engine is there: the context is fitted beside it. */
import { bindAttention, firstNamed } from "./attention/bind-attention.ts";
import { memoryOf } from "./attention/kept-data.ts";
import type { AttentionPolicy } from "./attention/policy.ts";
import { type GateSource, openGate } from "./engine/gate-store.ts";
import type { KeptByPolicy } from "./machine/fit-model.ts";
import type { AttentionFacts } from "./model/calibrated.ts";

/**
 * attention: the engine's option, if it names a policy
 * source: where gates come from; only their headers are read
 * @throws ConfigError for a policy that is impossible for the model, ModelFileError for a gate that cannot be read
 */
export async function keptAtOpen(
  attention: AttentionPolicy | string | undefined,
  { model, defaults }: AttentionFacts,
  source: Pick<GateSource, "openFolder">,
): Promise<KeptByPolicy> {
  const policy = bindAttention(firstNamed(attention, defaults), model, defaults);
  if (!policy.gate) return { policy: policy.name, memory: memoryOf(policy, model) };
  const file = await openGate(source, policy.gate.location, model);
  await file.close();
  return { policy: policy.name, memory: memoryOf(policy, model, file) };
}
