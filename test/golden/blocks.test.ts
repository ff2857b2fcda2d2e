/** Decoders of quantised blocks against the `gguf` Python package (make-block-fixtures.py). */
import { describe, expect, test } from "vitest";
import * as decoders from "../../src/base/block-decoders.ts";
import { place } from "../place/here.ts";

interface Golden {
  /** base64 */
  readonly blocks: string;
  /** SHA-256 of all values */
  readonly values: string;
  /** base64 of the last block's values */
  readonly last: string;
}

const golden: Readonly<Record<string, Golden>> = JSON.parse(await place.readText("test/golden/blocks.json"));

const DECODERS: Readonly<Record<string, [decoders.BlockDecoder, blockElements: number, blockBytes: number]>> = {
  q8_0: [decoders.decodeQ8_0, 32, 34],
  q4_0: [decoders.decodeQ4_0, 32, 18],
  q4_1: [decoders.decodeQ4_1, 32, 20],
  q5_0: [decoders.decodeQ5_0, 32, 22],
  q5_1: [decoders.decodeQ5_1, 32, 24],
  iq4_nl: [decoders.decodeIq4Nl, 32, 18],
  q3_k: [decoders.decodeQ3K, 256, 110],
  q4_k: [decoders.decodeQ4K, 256, 144],
  q5_k: [decoders.decodeQ5K, 256, 176],
  q6_k: [decoders.decodeQ6K, 256, 210],
};

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Little-endian bits with one NaN, as the script writes them. */
function canonicalBits(values: Float32Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => {
    if (Number.isNaN(value)) view.setUint32(i * 4, 0x7fc00000, true);
    else view.setFloat32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

describe.each(Object.entries(DECODERS))("%s", (format, [decode, blockElements, blockBytes]) => {
  const { blocks, values, last } = golden[format] as Golden;
  const bytes = fromBase64(blocks);
  const count = bytes.length / blockBytes;

  test(`decodes ${count} blocks, special scales included, to the bits of Python's package, at odd addresses too`, async () => {
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const out = new Float32Array(count * blockElements);
    decode(shifted.subarray(1), out);
    expect([...canonicalBits(out.subarray(-blockElements))]).toEqual([...fromBase64(last)]);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", canonicalBits(out)));
    expect(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")).toBe(values);
  });
});
