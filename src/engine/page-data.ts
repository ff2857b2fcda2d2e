/**
 * Data of pages that policies keep beside keys. Those of gates only the step which computed a token can extend, since keys before
 * RoPE are gone once they are cached; key bounds and sketches come from the cached keys at any time.
 */
import type { BlockGates } from "../attention/block-gates.ts";
import { full } from "../attention/policies/full.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { PagePool } from "../kv/page-pool.ts";
import type { SequenceCache } from "../kv/sequence-cache.ts";

/** Owner of the sketches of keys: all policies share them. */
const SKETCHES = {};

/** @throws RangeError if the policy lacks data of the first `length` cached tokens */
export function checkPageData({ name, gates }: AttentionPolicy, cache: SequenceCache, length: number): void {
  if (!gates || cache.hasData(gates, length)) return;
  throw new RangeError(
    `attention ${name}: the ${length} cached tokens were computed without its gate, which must see every token from the first`,
  );
}

/** First position of a sequence from which a step must update what its policy keeps beside keys; undefined if it keeps nothing. */
export function firstStale({ pageBounds, keySketch }: AttentionPolicy, cache: SequenceCache, length: number) {
  const bounds = pageBounds === undefined ? undefined : cache.validBounds;
  if (!keySketch) return bounds;
  const sketched = Math.min(length, cache.validData(SKETCHES));
  return Math.min(sketched, bounds ?? sketched);
}

/** True if a full page has the data of a policy that no later step can make. */
export function isUsableBy({ gates }: Pick<AttentionPolicy, "gates">, pool: PagePool, page: number): boolean {
  return !gates || pool.dataOf(gates).valid(page) === pool.pageSize;
}

/** Records that a step extended the policy's data from position `from` to the end. */
export function markPageData(
  { gates, keySketch }: AttentionPolicy,
  cache: SequenceCache,
  { from, stale }: { readonly from: number; readonly stale: number | undefined },
): void {
  if (keySketch) cache.markData(SKETCHES, stale ?? from);
  if (gates) cache.markData(gates, from);
}

/** True if one prefill can serve all policies: a step keeps up one gate. */
export function canSharePrefill(policies: readonly AttentionPolicy[]): boolean {
  return gatesOf(policies).size <= 1;
}

function gatesOf(policies: readonly AttentionPolicy[]): ReadonlySet<BlockGates> {
  return new Set(policies.flatMap(({ gates }) => gates ?? []));
}

/** A dense policy for a prefill that several policies share: it keeps up the key bounds and the gate of those that have any. */
export function prefixPolicy(policies: readonly AttentionPolicy[]): AttentionPolicy {
  const bounded = policies.find(({ pageBounds }) => pageBounds !== undefined);
  const [gates] = gatesOf(policies);
  return {
    ...full(),
    ...(bounded?.pageBounds !== undefined && { pageBounds: bounded.pageBounds }),
    ...(gates && { gates }),
    ...(policies.some(({ keySketch }) => keySketch) && { keySketch: true as const }),
  };
}
