import { type AttentionPolicy, loadPolicyFile, namesPolicyFile } from "../src/node/index.ts";

/** Policies of files by their specs: one value each, since the engine tells such policies apart by identity. */
const loaded = new Map<string, Promise<AttentionPolicy>>();

/** Loads the policy of a spec that names a file; another spec is what it is. @throws ConfigError */
export async function attentionOf(spec: string): Promise<AttentionPolicy | string> {
  if (!namesPolicyFile(spec)) return spec;
  const policy = loaded.get(spec) ?? loadPolicyFile(spec).then((file) => file.policy);
  loaded.set(spec, policy);
  return policy;
}
