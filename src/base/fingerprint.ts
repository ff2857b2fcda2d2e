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
      a = mixFirst(a, word);
      b = mixSecond(b, word);
    }
    this.#a = a;
    this.#b = b;
    for (let at = end; at < bytes.length; at++) this.#add(view.getUint8(at));
    this.#add(bytes.length);
    return this;
  }

  #add(word: number): void {
    this.#a = mixFirst(this.#a, word);
    this.#b = mixSecond(this.#b, word);
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** A round of MurmurHash3. */
function mixFirst(lane: number, word: number): number {
  const mixed = lane ^ Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
  return (Math.imul(rotate(mixed, 13), 5) + 0xe6546b64) | 0;
}

/** A round of xxHash32. */
function mixSecond(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, 0x85ebca77)) | 0, 13), 0x9e3779b1);
}

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}
