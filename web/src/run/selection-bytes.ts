/**
 * Selections of a step as bytes: gaps between ascending positions and heads as numbers of 7 bits a byte. A set of 256 tokens in
 * a sequence of 8,000 takes about 270 bytes in place of 1,024, and its heads 256 more.
 */

/** A selection: sets of ascending positions, one for all heads, one a kv head, or one a query head. */
export interface KeptSelection {
  readonly sets: readonly Uint32Array[];
  /** By position of the only set, the query head that put it there; -1 for tokens that are always kept. */
  readonly heads?: Int16Array;
  /** Always-kept tokens at both ends. */
  readonly ends?: { readonly sinks: number; readonly recent: number };
}

const HAS_HEADS = 1;
const HAS_ENDS = 2;

/** The bytes of one step are made here, then copied. */
let scratch = new Uint8Array(1 << 14);

/** Encodes the selections of one step. */
export function encodeSelections(selections: readonly KeptSelection[]): Uint8Array {
  let at = 0;
  const put = (value: number) => {
    if (at + 5 > scratch.length) {
      const grown = new Uint8Array(2 * scratch.length);
      grown.set(scratch);
      scratch = grown;
    }
    let rest = value;
    for (; rest > 127; rest >>>= 7) scratch[at++] = (rest & 127) | 128;
    scratch[at++] = rest;
  };
  put(selections.length);
  for (const { sets, heads, ends } of selections) {
    put((heads ? HAS_HEADS : 0) | (ends ? HAS_ENDS : 0));
    if (ends) {
      put(ends.sinks);
      put(ends.recent);
    }
    put(sets.length);
    for (const set of sets) {
      put(set.length);
      let before = 0;
      for (const position of set) {
        put(position - before);
        before = position;
      }
    }
    if (heads) for (const head of heads) put(head + 1);
  }
  return scratch.slice(0, at);
}

/** The inverse of `encodeSelections`. @throws RangeError if the bytes end too soon */
export function decodeSelections(bytes: Uint8Array): readonly KeptSelection[] {
  let at = 0;
  const take = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError(`decoding selections: ${bytes.length} bytes end too soon`);
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  return Array.from({ length: take() }, () => {
    const flags = take();
    const ends = flags & HAS_ENDS ? { sinks: take(), recent: take() } : undefined;
    const sets = Array.from({ length: take() }, () => {
      const set = new Uint32Array(take());
      let position = 0;
      for (let i = 0; i < set.length; i++) {
        position += take();
        set[i] = position;
      }
      return set;
    });
    const heads = flags & HAS_HEADS ? Int16Array.from(sets[0] ?? [], () => take() - 1) : undefined;
    return { sets, ...(heads && { heads }), ...(ends && { ends }) };
  });
}
