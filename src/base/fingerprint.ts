/** Multipliers and rotation of a lane: each word reaches all bits of both lanes after two more. */
const MULTIPLIERS = [0x9e3779b1, 0x85ebca77] as const;
const ROTATION = 13;

/** A 64-bit hash that tells contents apart. It is fast, and no defence: contents of a wanted hash are easily made. */
export class Fingerprint {
  #a = 1;
  #b = 2;

  /** Adds a text and its length. */
  addText(text: string): this {
    for (let i = 0; i < text.length; i++) this.#add(text.charCodeAt(i));
    this.#add(text.length);
    return this;
  }

  /** Adds every `stride`-th little-endian word of 32 bits, the bytes of a last part word, and the length. */
  addBytes(bytes: Uint8Array, stride = 1): this {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = bytes.length - (bytes.length % 4);
    let a = this.#a;
    let b = this.#b;
    // in locals, since a data file has many millions of words
    for (let at = 0; at < end; at += 4 * stride) {
      const word = view.getUint32(at, true);
      a = mix(a ^ word, MULTIPLIERS[0]);
      b = mix(b ^ word, MULTIPLIERS[1]);
    }
    this.#a = a;
    this.#b = b;
    for (let at = end; at < bytes.length; at++) this.#add(view.getUint8(at));
    this.#add(bytes.length);
    return this;
  }

  #add(word: number): void {
    this.#a = mix(this.#a ^ word, MULTIPLIERS[0]);
    this.#b = mix(this.#b ^ word, MULTIPLIERS[1]);
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

function mix(lane: number, multiplier: number): number {
  const product = Math.imul(lane, multiplier);
  return (product << ROTATION) | (product >>> (32 - ROTATION));
}
