/** The number of members that two ascending sets share, over the number in either; 1 for two empty sets. */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let shared = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [left, right] = [a[i] as number, b[j] as number];
    if (left === right) shared++;
    if (left <= right) i++;
    if (right <= left) j++;
  }
  const either = a.length + b.length - shared;
  return either === 0 ? 1 : shared / either;
}

/** The mean over sets of two selections; undefined if they have different numbers of sets, or none. */
export function overlapOf(a: readonly Uint32Array[], b: readonly Uint32Array[]): number | undefined {
  if (a.length !== b.length || a.length === 0) return undefined;
  return a.reduce((sum, set, i) => sum + jaccard(set, b[i] as Uint32Array), 0) / a.length;
}
