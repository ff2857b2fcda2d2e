/**
 * Damages GGUF files where their structure is: counts, lengths, types, sizes, offsets, texts and nesting, then any bytes.
 * It walks a whole file by itself, so that it shares no fault with the reader.
 */
import fc from "fast-check";

type Kind = "magic" | "count" | "length" | "type" | "text" | "value" | "size" | "offset" | "data" | "padding";

/** A run of bytes of one meaning. A file is its pieces, joined. */
interface Piece {
  readonly kind: Kind;
  readonly bytes: Uint8Array;
}

const SCALAR_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** Cuts a whole file into its pieces. */
export function piecesOf(given: Uint8Array): readonly Piece[] {
  const file = new Uint8Array(given); // a Buffer's slices share its memory, so that one damage would stay for all later ones
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const pieces: Piece[] = [];
  let at = 0;
  const take = (kind: Kind, length: number) => {
    pieces.push({ kind, bytes: file.slice(at, at + length) });
    at += length;
  };
  const u32 = (kind: Kind) => {
    take(kind, 4);
    return view.getUint32(at - 4, true);
  };
  const u64 = (kind: Kind) => {
    take(kind, 8);
    return Number(view.getBigUint64(at - 8, true));
  };
  const text = () => take("text", u64("length"));
  const value = (type: number): void => {
    if (type === 8) text();
    else if (type === 9) {
      const inner = u32("type");
      const count = u64("count");
      for (let i = 0; i < count; i++) value(inner);
    } else take("value", SCALAR_BYTES[type] ?? 0);
  };
  take("magic", 4);
  u32("magic");
  const numTensors = u64("count");
  const numKeys = u64("count");
  for (let i = 0; i < numKeys; i++) {
    text();
    value(u32("type"));
  }
  for (let i = 0; i < numTensors; i++) {
    text();
    const dimensions = u32("count");
    for (let d = 0; d < dimensions; d++) u64("size");
    u32("type");
    u64("offset");
  }
  take("padding", (32 - (at % 32)) % 32);
  take("data", file.length - at);
  return pieces;
}

const NUMBERS: readonly bigint[] = [
  ...[
    0n,
    1n,
    2n,
    3n,
    4n,
    7n,
    8n,
    9n,
    31n,
    32n,
    33n,
    64n,
    255n,
    256n,
    65_535n,
    2n ** 20n,
    2n ** 23n,
    2n ** 24n,
  ],
  ...[
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 40n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
    2n ** 64n - 32n,
  ],
];

const TEXTS: readonly (string | Uint8Array)[] = [
  "",
  "x",
  "__proto__",
  "constructor",
  "llama",
  "qwen3moe",
  "gemma3",
  "phi3",
  "gpt2",
  "bert",
  "blk.0.attn_q.weight",
  "blk.99999.attn_q.weight",
  "token_embd.weight",
  "output.weight",
  "rope_freqs.weight",
  "general.alignment",
  "general.architecture",
  "split.count",
  "llama.block_count",
  "llama.rope.scaling.type",
  "yarn",
  "{% for i in range(10**9) %}x{% endfor %}",
  "\u0000\u0000",
  Uint8Array.of(0xff, 0xfe, 0xc0, 0x80),
  "y".repeat(100_000),
];

/** One change. `at` and `from` in [0, 1) select pieces. */
export interface GgufChange {
  readonly kind: Kind | "any";
  readonly at: number;
  readonly from: number;
  readonly how:
    | "number"
    | "near"
    | "text"
    | "swap"
    | "copy"
    | "delete"
    | "repeat"
    | "nest"
    | "flip"
    | "cut"
    | "grow";
  readonly number: bigint;
  readonly text: string | Uint8Array;
}

const share = fc.nat(2 ** 30 - 1).map((value) => value / 2 ** 30);

/** Half of the changes keep what follows them readable, so that damage reaches the model behind the header. */
const HOW: readonly GgufChange["how"][] = [
  ...(["text", "text", "text", "swap", "swap", "swap", "near", "near", "number", "number"] as const),
  ...(["copy", "delete", "repeat", "nest", "flip", "flip", "cut", "grow"] as const),
];
const KINDS: readonly GgufChange["kind"][] = [
  ...(["value", "value", "value", "size", "offset", "type", "text", "length", "count", "any"] as const),
];

/** Draws one or two changes, without fast-check's bias to the ends, which would damage the same places most of the time. */
export const ggufChanges: fc.Arbitrary<readonly GgufChange[]> = fc.noBias(
  fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS),
      at: share,
      from: share,
      how: fc.constantFrom(...HOW),
      number: fc.constantFrom(...NUMBERS),
      text: fc.constantFrom(...TEXTS),
    }),
    { minLength: 1, maxLength: 2 },
  ),
);

/** Returns the bytes of the damaged file. */
export function damagedGguf(pieces: readonly Piece[], changes: readonly GgufChange[]): Uint8Array {
  const all = changes.reduce<readonly Piece[]>(change, pieces);
  const bytes = join(all.map((piece) => piece.bytes));
  const [{ how, at } = { how: "number", at: 0 }] = changes;
  return how === "cut" ? bytes.slice(0, Math.floor(at * bytes.length)) : bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function integer(value: bigint, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, value), true);
  return new Uint8Array(view.buffer, 0, Math.min(8, length));
}

function change(
  pieces: readonly Piece[],
  { kind, at, from, how, number, text }: GgufChange,
): readonly Piece[] {
  const wanted = how === "text" ? "text" : kind;
  const chosen = pieces.flatMap((piece, i) => (wanted === "any" || piece.kind === wanted ? [i] : []));
  const index = chosen[Math.floor(at * chosen.length)];
  const piece = index === undefined ? undefined : pieces[index];
  if (index === undefined || piece === undefined) return pieces;
  const { bytes } = piece;
  const put = (...now: readonly Uint8Array[]) => [
    ...pieces.slice(0, index),
    ...now.map((one) => ({ ...piece, bytes: one })),
    ...pieces.slice(index + 1),
  ];
  switch (how) {
    case "number":
      return put(integer(number, bytes.length));
    case "near": {
      const view = new DataView(new ArrayBuffer(8));
      new Uint8Array(view.buffer).set(bytes.subarray(0, 8));
      const delta = BigInt(Math.floor(from * 65) - 32);
      return put(integer(view.getBigUint64(0, true) + delta, bytes.length));
    }
    case "text":
      return changeText(pieces, index, typeof text === "string" ? new TextEncoder().encode(text) : text);
    case "swap": {
      const others = pieces.flatMap((one, i) =>
        one.kind === piece.kind && one.bytes.length === bytes.length ? [i] : [],
      );
      const other = others[Math.floor(from * others.length)] ?? index;
      return pieces.map((one, i) => (i === index ? (pieces[other] ?? one) : i === other ? piece : one));
    }
    case "copy":
      return put(pieces[Math.floor(from * pieces.length)]?.bytes ?? bytes);
    case "delete":
      return put();
    case "repeat":
      return put(...Array.from({ length: 1 + Math.floor(from * 20) }, () => bytes));
    case "nest": {
      // an array in an array in an array …, in place of a value
      const level = join([integer(9n, 4), integer(1n, 8)]);
      return put(...Array.from({ length: Math.floor(from * 2000) }, () => level), bytes);
    }
    case "flip": {
      const copy = bytes.slice();
      if (copy.length > 0) copy[Math.floor(from * copy.length)] ^= 1 << Number(number % 8n);
      return put(copy);
    }
    case "grow":
      return put(bytes, new Uint8Array(Math.floor(from * 300)).fill(Number(number % 256n)));
    case "cut":
      return pieces;
  }
}

/** Replaces a text with its length, so that what follows stays readable. */
function changeText(pieces: readonly Piece[], index: number, text: Uint8Array): readonly Piece[] {
  const before = pieces[index - 1];
  const piece = pieces[index];
  if (piece?.kind !== "text" || before?.kind !== "length") return pieces;
  return [
    ...pieces.slice(0, index - 1),
    { ...before, bytes: integer(BigInt(text.length), 8) },
    { ...piece, bytes: text },
    ...pieces.slice(index + 1),
  ];
}
