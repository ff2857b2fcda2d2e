import type { TokenConstraint } from "./constraint.ts";
import type { Machine, State } from "./machine.ts";
import { setBit, type Vocabulary } from "./vocabulary.ts";

/** What the constraints of one request share. */
interface Shared {
  readonly machine: Machine;
  readonly vocabulary: Vocabulary;
  /** Tokens that end the output. */
  readonly endIds: readonly number[];
}

/** A constraint that a machine runs. */
export class AutomatonConstraint implements TokenConstraint {
  readonly #shared: Shared;
  #state: State;
  /** True before the first token of the whole output. */
  #isFirst: boolean;
  /** True once an end-of-sequence token came. */
  #hasEnded = false;

  constructor(shared: Shared, isFirst: boolean, state: State = shared.machine.start) {
    this.#shared = shared;
    this.#isFirst = isFirst;
    this.#state = state;
  }

  get isComplete(): boolean {
    return this.#state.isComplete;
  }

  fillMask(mask: Uint32Array): void {
    const { endIds } = this.#shared;
    if (this.#hasEnded) mask.fill(0);
    else if (this.#isFirst) this.#compute(mask);
    else {
      const known = this.#state.mask;
      if (known?.length === mask.length) mask.set(known);
      else {
        this.#compute(mask);
        this.#shared.machine.keepMask(this.#state, mask.slice());
      }
    }
    if (this.isComplete) for (const id of endIds) setBit(mask, id);
    else for (const id of endIds) clearBit(mask, id);
  }

  #compute(mask: Uint32Array): void {
    const { machine, vocabulary } = this.#shared;
    machine.begin();
    vocabulary.allow(machine, this.#state, this.#isFirst, mask);
  }

  accept(tokenId: number): boolean {
    const { machine, vocabulary, endIds } = this.#shared;
    if (this.#hasEnded) return false;
    if (endIds.includes(tokenId)) {
      this.#hasEnded = this.isComplete;
      return this.#hasEnded;
    }
    for (const [text, next] of this.#state.markers)
      if (vocabulary.markerId(text) === tokenId) return this.#take(next);
    const bytes = vocabulary.bytes(tokenId, this.#isFirst);
    if (!bytes || bytes.length === 0) return false;
    machine.begin();
    let state: State | null = this.#state;
    for (const byte of bytes) {
      state = machine.step(state, byte);
      if (!state) return false;
    }
    return this.#take(state);
  }

  #take(state: State): true {
    this.#state = state;
    this.#isFirst = false;
    return true;
  }

  clone(): TokenConstraint {
    const copy = new AutomatonConstraint(this.#shared, this.#isFirst, this.#state);
    copy.#hasEnded = this.#hasEnded;
    return copy;
  }
}

function clearBit(mask: Uint32Array, id: number): void {
  if (id < 0 || id >>> 5 >= mask.length) return;
  mask[id >>> 5] = (mask[id >>> 5] as number) & ~(1 << (id & 31));
}
