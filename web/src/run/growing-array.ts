type Numbers = Uint8Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** A list of numbers in a typed array that doubles when it is full. */
export class GrowingArray<T extends Numbers> {
  #values: T;
  #length = 0;

  /** empty: an array of the wanted type; its length is the first capacity */
  constructor(empty: T) {
    this.#values = empty;
  }

  get length(): number {
    return this.#length;
  }

  get sizeBytes(): number {
    return this.#values.byteLength;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) this.#grow(this.#length + 1);
    this.#values[this.#length++] = value;
  }

  /** Lengthens the list to `length` by copies of `value`; a longer list stays as it is. */
  fillTo(length: number, value: number): void {
    if (length <= this.#length) return;
    if (length > this.#values.length) this.#grow(length);
    this.#values.fill(value, this.#length, length);
    this.#length = length;
  }

  /** The numbers so far, not copied. Valid until the next `push` or `fillTo`. */
  view(): T {
    return this.#values.subarray(0, this.#length) as T;
  }

  /** Returns NaN beyond the ends. */
  at(index: number): number {
    return index >= 0 && index < this.#length ? (this.#values[index] ?? Number.NaN) : Number.NaN;
  }

  #grow(least: number): void {
    const Type = this.#values.constructor as new (length: number) => T;
    const grown = new Type(Math.max(16, least, 2 * this.#values.length));
    grown.set(this.#values);
    this.#values = grown;
  }
}
