/** Damages checkpoints: deletes, replaces, moves, nests and renames values of their JSON files, and changes bytes. */
import fc from "fast-check";

type Json = unknown;

/** Unexpected values. `textOf` replaces texts in double angle brackets by JSON that JSON.stringify cannot write. */
const VALUES: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  7,
  0.5,
  -0.0,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e308,
  "",
  "x",
  "NaN",
  "\ud800",
  "\u0000",
  [],
  {},
  [[]],
  [1, 2, 3],
  [{}],
  { type: "x" },
  "<<deep>>",
  "<<wide>>",
  "<<long>>",
  "<<nan>>",
  "<<huge>>",
];

const DEPTH = 100_000;

/** Writes JSON, including the values that only a text can express. */
function textOf(json: Json): string {
  return JSON.stringify(json)
    .replace('"<<deep>>"', () => "[".repeat(DEPTH) + "]".repeat(DEPTH))
    .replace('"<<wide>>"', () => `[${"{},".repeat(300_000)}{}]`)
    .replace('"<<long>>"', () => `"${"y".repeat(2_000_000)}"`)
    .replace('"<<nan>>"', "NaN")
    .replace('"<<huge>>"', `1${"0".repeat(400)}`);
}

const KEYS = ["__proto__", "constructor", "toString", "", "x", "model_type", "0", "a.b"];

/** A change of a JSON value. `at` in [0, 1) selects its place among all places. */
interface Change {
  readonly at: number;
  readonly how: "delete" | "replace" | "rename" | "copy" | "wrap" | "grow";
  readonly value: Json;
  readonly key: string;
  readonly from: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  how: fc.constantFrom("delete", "replace", "replace", "replace", "rename", "copy", "wrap", "grow"),
  value: fc.constantFrom(...VALUES),
  key: fc.constantFrom(...KEYS),
  from: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

type Place = { readonly parent: Record<string, Json> | Json[]; readonly key: string | number };

function placesOf(json: Json, found: Place[] = []): Place[] {
  if (Array.isArray(json))
    json.forEach((item, key) => {
      found.push({ parent: json, key });
      placesOf(item, found);
    });
  else if (typeof json === "object" && json !== null)
    for (const key of Object.keys(json)) {
      found.push({ parent: json as Record<string, Json>, key });
      placesOf(Reflect.get(json, key), found);
    }
  return found;
}

function put(parent: Place["parent"], key: string | number, value: Json): void {
  Object.defineProperty(parent, key, { value, enumerable: true, writable: true, configurable: true });
}

/** Applies a change to a copy of the value. */
function changed(json: Json, { at, how, value, key, from }: Change): Json {
  const root = { root: structuredClone(json) };
  const places = placesOf(root);
  const pick = (where: number) => places[Math.floor(where * places.length)] ?? { parent: root, key: "root" };
  const { parent, key: place } = pick(at);
  const current: Json = Reflect.get(parent, place);
  if (how === "delete" && parent !== root) Reflect.deleteProperty(parent, place);
  else if (how === "rename" && !Array.isArray(parent) && parent !== root) {
    Reflect.deleteProperty(parent, place);
    put(parent, key, current);
  } else if (how === "copy") {
    const source = pick(from);
    put(parent, place, structuredClone(Reflect.get(source.parent, source.key)));
  } else if (how === "wrap") put(parent, place, { [key]: current });
  else if (how === "grow" && typeof current === "object" && current !== null)
    put(current as Place["parent"], Array.isArray(current) ? current.length : key, value);
  else put(parent, place, value);
  return root.root;
}

/** A file of a checkpoint: JSON, or JSON before data as in safetensors. */
export interface FuzzedFile {
  readonly json: Json;
  readonly data?: Uint8Array;
}

/** Damage to one file: changes of its JSON, then of its bytes. */
export interface Damage {
  readonly file: string;
  readonly changes: readonly Change[];
  readonly bytes: "none" | "none, gone" | "cut" | "mark" | "flip" | "length";
  readonly at: number;
}

const BYTES: readonly Damage["bytes"][] = [
  ...Array(8).fill("none"),
  "none, gone",
  "cut",
  "mark",
  "flip",
  "length",
];

/** Draws one to three damages of the given files. A counterexample prints these, since bytes would fill the screen. */
export function damagesOf(names: readonly string[]): fc.Arbitrary<readonly Damage[]> {
  const damage: fc.Arbitrary<Damage> = fc.record({
    file: fc.constantFrom(...names),
    changes: fc.array(change, { minLength: 1, maxLength: 4 }),
    bytes: fc.constantFrom(...BYTES),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  });
  return fc.array(damage, { minLength: 1, maxLength: 3 });
}

/** Returns the bytes of the damaged files. */
export function damagedFolder(
  files: Readonly<Record<string, FuzzedFile>>,
  damages: readonly Damage[],
): Record<string, Uint8Array> {
  const result: Record<string, Uint8Array> = {};
  for (const [name, file] of Object.entries(files)) {
    const own = damages.filter((one) => one.file === name);
    const json = own.flatMap(({ changes }) => changes).reduce(changed, file.json);
    const bytes = own.reduce<Uint8Array | undefined>(damageBytes, bytesOf({ ...file, json }));
    if (bytes) result[name] = bytes;
  }
  return result;
}

function bytesOf({ json, data }: FuzzedFile): Uint8Array {
  const text = new TextEncoder().encode(textOf(json) ?? "");
  if (!data) return text;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function damageBytes(bytes: Uint8Array | undefined, { bytes: how, at }: Damage): Uint8Array | undefined {
  if (!bytes || how === "none" || bytes.length === 0) return bytes;
  const place = Math.floor(at * bytes.length);
  if (how === "cut") return bytes.slice(0, place);
  if (how === "mark") return Uint8Array.from([0xef, 0xbb, 0xbf, ...bytes.subarray(0, 1_000_000)]);
  if (how === "none, gone") return undefined;
  const copy = bytes.slice();
  copy[how === "length" ? place % 8 : place] = Math.floor(at * 65536) & 0xff;
  return copy;
}
