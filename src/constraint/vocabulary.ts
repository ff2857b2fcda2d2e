import { RequestError } from "../base/errors.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import type { OutputBytes } from "../load/tokenizer/output-bytes.ts";
import type { Alphabet } from "./analyse.ts";
import type { Machine, State } from "./machine.ts";

/** A token that is read as a whole or not at all: every added token but white space. */
const IS_BLANK = /^\s+$/;

interface Entry {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** Tokens between turns of the event loop while a tree is made: at most some 10 ms. */
const TOKENS_A_TURN = 1024;

/**
 * The tokens of a vocabulary as a tree of their bytes, in the order of a walk that goes deep first. A walk skips the tokens behind a
 * byte that a constraint does not allow.
 */
class TokenTree {
  /** Byte of each node. */
  readonly #bytes: Uint8Array;
  readonly #depths: Uint16Array;
  /** Node behind the last one of the subtree. */
  readonly #ends: Int32Array;
  /** A token that ends at the node, or -1; `#twins` has the next one of the same bytes. */
  readonly #tokens: Int32Array;
  readonly #twins: Int32Array;
  readonly #maxDepth: number;
  /** True for each byte that is a token by itself. */
  readonly hasByte: boolean[];
  #numNodes = 0;
  /** Nodes of the token before. */
  readonly #way: number[] = [];
  #before: Uint8Array = new Uint8Array(0);

  private constructor(size: number, entries: readonly Entry[]) {
    const numBytes = entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#maxDepth = entries.reduce((most, { bytes }) => Math.max(most, bytes.length), 0);
    this.hasByte = Array.from({ length: 256 }, () => false);
    this.#bytes = new Uint8Array(numBytes);
    this.#depths = new Uint16Array(numBytes);
    this.#ends = new Int32Array(numBytes);
    this.#tokens = new Int32Array(numBytes).fill(-1);
    this.#twins = new Int32Array(size).fill(-1);
  }

  /** Makes a tree, in turns with the event loop: Qwen3 takes half a second, Gemma 3 with 262,000 tokens and SentencePiece a few. */
  static async of(size: number, bytesOf: (id: number) => Uint8Array | undefined): Promise<TokenTree> {
    const byFirst: Entry[][] = Array.from({ length: 256 }, () => []);
    for (let id = 0; id < size; id++) {
      const bytes = bytesOf(id);
      // a token without text would let the output run on without end
      if (bytes && bytes.length > 0 && bytes.length <= 0xffff) byFirst[bytes[0] ?? 0]?.push({ id, bytes });
      if (id % TOKENS_A_TURN === 0) await yieldToEventLoop();
    }
    const tree = new TokenTree(size, byFirst.flat());
    for (const entries of byFirst) {
      entries.sort((a, b) => compareBytes(a.bytes, b.bytes));
      for (const entry of entries) tree.#add(entry);
      if (entries.length > 0) await yieldToEventLoop();
    }
    for (const node of tree.#way) tree.#ends[node] = tree.#numNodes;
    return tree;
  }

  /** Adds a token, which comes after those added so far. */
  #add({ id, bytes }: Entry): void {
    const shared = sharedLength(this.#before, bytes);
    while (this.#way.length > shared) this.#ends[this.#way.pop() ?? 0] = this.#numNodes;
    for (let i = shared; i < bytes.length; i++) {
      this.#bytes[this.#numNodes] = bytes[i] ?? 0;
      this.#depths[this.#numNodes] = i;
      this.#way.push(this.#numNodes++);
    }
    if (bytes.length === 1) this.hasByte[bytes[0] ?? 0] = true;
    const last = this.#way[this.#way.length - 1] ?? 0;
    this.#twins[id] = this.#tokens[last] ?? -1;
    this.#tokens[last] = id;
    this.#before = bytes;
  }

  /** Sets the bits of all tokens that a machine reads from a state. */
  allow(machine: Machine, state: State, mask: Uint32Array): void {
    const states: State[] = new Array(this.#maxDepth + 1);
    states[0] = state;
    for (let node = 0; node < this.#numNodes; ) {
      const depth = this.#depths[node] as number;
      const next = machine.step(states[depth] as State, this.#bytes[node] as number);
      if ((node & 1023) === 0) machine.count(256);
      if (!next) {
        node = this.#ends[node] as number;
        continue;
      }
      states[depth + 1] = next;
      for (let id = this.#tokens[node] as number; id >= 0; id = this.#twins[id] as number)
        mask[id >>> 5] = (mask[id >>> 5] as number) | (1 << (id & 31));
      node++;
    }
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = sharedLength(a, b);
  return (a[shared] ?? -1) - (b[shared] ?? -1);
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}

/** The tokens of an engine as constraints see them: bytes of the output. Made once an engine has its first constraint. */
export class Vocabulary implements Alphabet {
  readonly hasByte: readonly boolean[];
  readonly #output: OutputBytes;
  readonly #later: TokenTree;
  /** Tokens at the start of the output, if their text differs there. */
  readonly #first: TokenTree;

  private constructor(output: OutputBytes, later: TokenTree, first: TokenTree) {
    this.#output = output;
    this.#later = later;
    this.#first = first;
    this.hasByte = later.hasByte;
  }

  /** @throws RequestError if the tokenizer's text of a token depends on the tokens around it */
  static async open(output: OutputBytes | undefined): Promise<Vocabulary> {
    if (!output)
      throw new RequestError(
        "constraint: the tokenizer of this model writes a token differently depending on those around it, so its output " +
          "cannot be constrained; leave out the constraint",
      );
    const later = await TokenTree.of(output.size, (id) => readBytes(output, id, false));
    const first = output.differsAtFirst
      ? await TokenTree.of(output.size, (id) => readBytes(output, id, true))
      : later;
    return new Vocabulary(output, later, first);
  }

  /** Bytes that a token adds to the output; undefined for tokens that only a marker allows. */
  bytes(id: number, isFirst: boolean): Uint8Array | undefined {
    return readBytes(this.#output, id, isFirst);
  }

  /** Words of a mask of all tokens. */
  get numWords(): number {
    return Math.ceil(this.#output.size / 32);
  }

  /** True if a token at the start of the output may have another text than later. */
  get differsAtFirst(): boolean {
    return this.#output.differsAtFirst;
  }

  /** True for tokens that are not text, such as "<|im_end|>". */
  isAdded(id: number): boolean {
    return this.#output.addedText(id) !== undefined;
  }

  markerId(text: string): number | undefined {
    return this.#output.addedId(text);
  }

  hasMarker(text: string): boolean {
    return this.markerId(text) !== undefined;
  }

  /** Writes the tokens that may come in a state; the first token of an output may have another text than later. */
  allow(machine: Machine, state: State, isFirst: boolean, mask: Uint32Array): void {
    mask.fill(0);
    const tree = isFirst ? this.#first : this.#later;
    tree.allow(machine, state, mask);
    for (const text of state.markers.keys()) setBit(mask, this.markerId(text) ?? -1);
  }
}

/** Sets the bit of a token that the mask has. */
export function setBit(mask: Uint32Array, id: number): void {
  if (id < 0 || id >>> 5 >= mask.length) return;
  mask[id >>> 5] = (mask[id >>> 5] as number) | (1 << (id & 31));
}

function readBytes(output: OutputBytes, id: number, isFirst: boolean): Uint8Array | undefined {
  const added = output.addedText(id);
  return added !== undefined && !IS_BLANK.test(added) ? undefined : output.bytes(id, isFirst);
}
