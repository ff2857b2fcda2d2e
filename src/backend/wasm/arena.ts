import { BackendError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import { ARENA_START, MAX_BYTES, PAGE_BYTES, WORDS, WORDS_ADDRESS, type Word } from "./memory-map.ts";

const ALIGNMENT = 64;

/** A bump allocator over one WebAssembly.Memory that grows with it. Views are made anew only after growth. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  floats = new Float32Array(0);
  integers = new Uint32Array(0);
  bytes = new Uint8Array(0);
  #end = ARENA_START;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
    this.#refresh();
  }

  /**
   * Zeroed bytes that live as long as the memory; 64 bytes past them may be read, never written.
   * @throws BackendError when the memory ends.
   */
  allocate(bytes: number, what: string): number {
    const start = this.#end;
    const end = Math.ceil((start + bytes + ALIGNMENT) / ALIGNMENT) * ALIGNMENT;
    if (end > MAX_BYTES - PAGE_BYTES)
      throw new BackendError(
        `the wasm backend has no room for ${what}: it needs ${mebibytes(bytes)}, ${mebibytes(start)} of the ` +
          `${mebibytes(MAX_BYTES)} that 32-bit WebAssembly can address are used; ` +
          "use a shorter contextLength, fewer concurrent requests or a smaller model",
      );
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil(missing / PAGE_BYTES));
      } catch (cause) {
        throw new BackendError(
          `the wasm backend has no room for ${what}: the machine refused ${mebibytes(missing)} more than the ` +
            `${mebibytes(start)} in use; free memory, or use a shorter contextLength or a smaller model`,
          { cause },
        );
      }
      this.#refresh();
    }
    this.#end = end;
    return start;
  }

  /** Gives everything back. */
  clear(): void {
    this.bytes.fill(0, ARENA_START, this.#end);
    this.#end = ARENA_START;
  }

  /** A word that kernels read. */
  setWord(word: Word, value: number): void {
    this.integers[WORDS_ADDRESS / 4 + WORDS[word]] = value;
  }

  word(word: Word): number {
    return this.integers[WORDS_ADDRESS / 4 + WORDS[word]];
  }

  #refresh(): void {
    const { buffer } = this.memory;
    this.floats = new Float32Array(buffer);
    this.integers = new Uint32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }
}
