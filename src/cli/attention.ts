import { type AttentionPolicy, ConfigError, loadPolicyFile, namesPolicyFile } from "../node/index.ts";
import { UsageError } from "./args.ts";

/** What `--attention` names: a spec, or the policy of a file with the hash of its text. */
export interface AttentionChoice {
  readonly spec: string;
  readonly attention: AttentionPolicy | string;
  readonly identity?: { readonly fileSha256: string };
}

/** Loads the file that a spec may name. @throws UsageError */
export async function loadAttention(spec: string): Promise<AttentionChoice> {
  if (!namesPolicyFile(spec)) return { spec, attention: spec };
  try {
    const { policy, sha256 } = await loadPolicyFile(spec);
    return { spec, attention: policy, identity: { fileSha256: sha256 } };
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error;
  }
}
