import { OutOfMemoryError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import { WORDS_ADDRESS } from "./assembly/layout.ts";
import { ARENA_START, MAX_BYTES, PAGE_BYTES, WORDS, type Word } from "./memory-map.ts";

const ALIGNMENT = 64;

/** A bump allocator over one WebAssembly.Memory, which grows with it. Growth replaces the views. */
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
   * @throws BackendError if the address space or the machine's memory ends
   */
  allocate(bytes: number, what: string): number {
    const start = this.#end;
    if (endOf(start, bytes) > MAX_BYTES - PAGE_BYTES)
      throw new OutOfMemoryError(
        `the wasm backend has no room for ${what}: it needs ${mebibytes(bytes)}, ${mebibytes(start)} of the ` +
          `${mebibytes(MAX_BYTES)} that 32-bit WebAssembly can address are used; ` +
          "use a shorter contextLength, fewer concurrent requests or a smaller model",
      );
    try {
      return this.#take(bytes);
    } catch (cause) {
      throw new OutOfMemoryError(
        `the wasm backend has no room for ${what}: the machine refused ${mebibytes(bytes)} beyond the ` +
          `${mebibytes(start)} in use; free memory, or use a shorter contextLength or a smaller model`,
        { cause },
      );
    }
  }

  /** `allocate` for memory that one can do without: undefined if there is none, with nothing changed. */
  tryAllocate(bytes: number): number | undefined {
    if (endOf(this.#end, bytes) > MAX_BYTES - PAGE_BYTES) return undefined;
    try {
      return this.#take(bytes);
    } catch {
      return undefined; // memory.grow throws if the machine refuses, and only then
    }
  }

  /**
   * Runs `make`, which allocates and writes nothing.
   * @throws OutOfMemoryError if there is no room for all of it; nothing has changed then
   */
  allOrNothing<T>(what: string, make: () => T): T {
    const start = this.#end;
    try {
      return make();
    } catch (cause) {
      this.#end = start;
      if (!(cause instanceof OutOfMemoryError)) throw cause;
      throw new OutOfMemoryError(`the wasm backend has no room for ${what}: ${cause.message}`, { cause });
    }
  }

  /** @throws RangeError if the machine refuses memory; nothing has changed then */
  #take(bytes: number): number {
    const start = this.#end;
    const end = endOf(start, bytes);
    const missing = end - this.memory.buffer.byteLength;
    if (missing > 0) {
      this.memory.grow(Math.ceil(missing / PAGE_BYTES));
      this.#refresh();
    }
    this.#end = end;
    return start;
  }

  /** Sets a word that kernels read. */
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

function endOf(start: number, bytes: number): number {
  return Math.ceil((start + bytes + ALIGNMENT) / ALIGNMENT) * ALIGNMENT;
}
