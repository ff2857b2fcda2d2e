import type { Backend } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import type { Arena } from "./arena.ts";
import { type ExtentGeometry, extentGeometry } from "./memory-map.ts";

/** Bytes of linear memory. */
export interface MemoryRegion {
  readonly address: number;
  readonly bytes: number;
}

/**
 * The KV pool in linear memory: extents of a few pages each, which kernels find through a table of addresses, so that
 * growth moves nothing. Linear memory cannot shrink: the pool keeps its extents when it shrinks, and uses them when it
 * grows again. Their contents are unspecified then, but padding of rows stays zero.
 */
export class KvCache {
  readonly #arena: Arena;
  readonly #extent: ExtentGeometry;
  readonly #regions: MemoryRegion[] = [];
  #numExtents = 0;
  #numPages = 0;
  #hasBounds = false;

  constructor(
    arena: Arena,
    { model, capacity }: Pick<Backend, "model" | "capacity">,
    cacheDtype: CpuCacheDtype,
  ) {
    this.#arena = arena;
    this.#extent = extentGeometry(model, capacity, cacheDtype);
  }

  /** Pages of the pool. */
  get numPages(): number {
    return this.#numPages;
  }

  get hasBounds(): boolean {
    return this.#hasBounds;
  }

  /** Bytes of keys and values in memory; those of pages that the pool gave up count. */
  get bytes(): number {
    return this.#numExtents * this.#extent.bytes;
  }

  get maxBytes(): number {
    return this.#extent.maxExtents * this.#extent.bytes;
  }

  /** Memory of the keys and values: one region for each time that memory grew. */
  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /** Gives the pool `numPages` pages. False if there is no memory for them; nothing has changed then. */
  resize(numPages: number): boolean {
    const { pages, bytes, boundsBytes } = this.#extent;
    const missing = Math.ceil(numPages / pages) - this.#numExtents;
    if (missing > 0) {
      const bounds = this.#hasBounds ? missing * boundsBytes : 0;
      const address = this.#arena.tryAllocate(missing * bytes + bounds);
      if (address === undefined) return false;
      this.#regions.push({ address, bytes: missing * bytes });
      this.#list("extents", address, { bytes, first: this.#numExtents, count: missing });
      if (this.#hasBounds)
        this.#list("boundsExtents", address + missing * bytes, {
          bytes: boundsBytes,
          first: this.#numExtents,
          count: missing,
        });
      this.#numExtents += missing;
    }
    this.#numPages = numPages;
    return true;
  }

  /** Makes room for the bounds of all pages, once. @throws BackendError when there is none */
  addBounds(): void {
    if (this.#hasBounds) return;
    const { boundsBytes } = this.#extent;
    const address = this.#arena.allocate(this.#numExtents * boundsBytes, "key bounds");
    this.#list("boundsExtents", address, { bytes: boundsBytes, first: 0, count: this.#numExtents });
    this.#hasBounds = true;
  }

  /** Tells kernels the addresses of `count` extents that follow one another. */
  #list(
    word: "extents" | "boundsExtents",
    address: number,
    { bytes, first, count }: { readonly bytes: number; readonly first: number; readonly count: number },
  ): void {
    const table = this.#arena.word(word) / 4 + first;
    for (let i = 0; i < count; i++) this.#arena.integers[table + i] = address + i * bytes;
  }
}
