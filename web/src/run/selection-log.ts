import type { LayerTrace, StepTrace } from "lessismore";
import { decodeSelections, encodeSelections, type KeptSelection } from "./selection-bytes.ts";

/** What a layer did in a step. */
export interface LayerUse {
  readonly layer: number;
  readonly attends: "all" | "selected";
  readonly selects: boolean;
  /** Tokens that a sliding layer sees at most. */
  readonly window?: number;
  /** Index into the step's selections: the one that the layer attends to, or has made. Absent: none. */
  readonly selection?: number;
}

/** One observed step. */
export interface ObservedSelections {
  /** Number of the decode step, from 0. */
  readonly step: number;
  /** Position of the token that the step feeds; it sees positions 0 to this one. */
  readonly position: number;
  readonly isSparse: boolean;
  readonly layers: readonly LayerUse[];
  readonly selections: readonly KeptSelection[];
}

interface Entry {
  readonly step: number;
  readonly position: number;
  readonly isSparse: boolean;
  readonly layers: readonly LayerUse[];
  readonly bytes: Uint8Array;
}

/** An entry's objects besides its bytes, as V8 keeps them. */
const ENTRY_BYTES = 160;

/**
 * The selections of the observed steps of a run, compressed, in bounded memory: when the bytes reach the limit, every second
 * step is dropped, and from then on every second one is kept.
 */
export class SelectionLog {
  readonly #limitBytes: number;
  /** By step, ascending. */
  #entries: Entry[] = [];
  /** What layers did, by text: it is nearly always the same. */
  readonly #uses = new Map<string, readonly LayerUse[]>();
  #sizeBytes = 0;
  #numSeen = 0;
  #keptEvery = 1;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of so many observed steps the log keeps one. */
  get keptEvery(): number {
    return this.#keptEvery;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** distinct: the selections of the trace, each once */
  add(trace: StepTrace, distinct: readonly KeptSelection[]): void {
    if (this.#numSeen++ % this.#keptEvery !== 0) return;
    const entry: Entry = {
      ...{ step: trace.step, position: trace.length - 1, isSparse: trace.isSparse },
      layers: this.#usesOf(trace.layers, distinct),
      bytes: encodeSelections(distinct),
    };
    this.#entries.push(entry);
    this.#sizeBytes += entry.bytes.length + ENTRY_BYTES;
    while (this.#sizeBytes > this.#limitBytes && this.#entries.length > 1) this.#thin();
  }

  /** The kept step whose position is `position`, or the last kept one before it; undefined if there is none. */
  at(position: number): ObservedSelections | undefined {
    const entry = this.#entries[this.#indexAt(position)];
    if (!entry) return undefined;
    const { step, isSparse, layers, bytes } = entry;
    return { step, position: entry.position, isSparse, layers, selections: decodeSelections(bytes) };
  }

  /** The position of the kept step `by` steps after (or before) the one at `position`, within the log. */
  neighbour(position: number, by: number): number | undefined {
    const index = Math.max(0, Math.min(this.#entries.length - 1, this.#indexAt(position) + by));
    return this.#entries[index]?.position;
  }

  #indexAt(position: number): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle]?.position ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #usesOf(layers: readonly LayerTrace[], distinct: readonly KeptSelection[]): readonly LayerUse[] {
    const uses = layers.map(({ layer, role, window, selection }): LayerUse => {
      const index = distinct.findIndex(({ sets }) => sets === selection);
      return {
        ...{ layer, attends: role.attends, selects: role.selects },
        ...(window !== undefined && { window }),
        ...(index >= 0 && { selection: index }),
      };
    });
    const key = JSON.stringify(uses);
    const known = this.#uses.get(key);
    if (known) return known;
    this.#uses.set(key, uses);
    return uses;
  }

  #thin(): void {
    this.#entries = this.#entries.filter((_, i) => i % 2 === 0);
    this.#keptEvery *= 2;
    this.#sizeBytes = this.#entries.reduce((sum, { bytes }) => sum + bytes.length + ENTRY_BYTES, 0);
  }
}
