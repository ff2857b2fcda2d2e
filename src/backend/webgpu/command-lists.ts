/** A dispatch with everything it binds. */
export interface Dispatch {
  readonly category: ProfileCategory;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  /**
   * Parameters that come with the dispatch; undefined where a uniform of the bind group holds them. A bare buffer: Dawn's
   * binding for Node takes 0.2 us for one, 0.9 for a typed array.
   */
  readonly immediates: ArrayBuffer | undefined;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** What a dispatch counts as in a profile. */
export type ProfileCategory = "weights" | "dense attention" | "selection" | "sparse attention" | "rest";

/** Recorded dispatches. They stay valid until a buffer that kernels bind is destroyed (`Buffers.generation`). */
export interface CommandList {
  readonly generation: number;
  readonly dispatches: readonly Dispatch[];
}

/**
 * The command lists of one op, found by what their dispatches depend on: small integers, one level of a tree each, so that a
 * look-up allocates nothing.
 */
export class CommandLists {
  /** The list at this place, once recorded. */
  list: CommandList | undefined;
  #below: Map<number, CommandLists> | undefined;

  /** The place one level down. */
  at(key: number): CommandLists {
    this.#below ??= new Map();
    let place = this.#below.get(key);
    if (!place) {
      place = new CommandLists();
      this.#below.set(key, place);
    }
    return place;
  }

  clear(): void {
    this.list = undefined;
    this.#below = undefined;
  }
}
