/** A dispatch with everything it binds. */
export interface Dispatch {
  readonly category: ProfileCategory;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  /**
   * Parameters as immediates; undefined if a uniform of the bind group holds them. An ArrayBuffer, since Dawn's binding for
   * Node takes 0.2 µs for one and 0.9 µs for a typed array.
   */
  readonly immediates: ArrayBuffer | undefined;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** The profile category of a dispatch. */
export type ProfileCategory = "weights" | "dense attention" | "selection" | "sparse attention" | "rest";

/** Recorded dispatches. They stay valid until a buffer that kernels bind is destroyed (`Buffers.generation`). */
export interface CommandList {
  readonly generation: number;
  readonly dispatches: readonly Dispatch[];
}

/**
 * The command lists of one op, keyed by the values that its dispatches depend on. The keys are small integers, one a level
 * of a tree, so that a look-up allocates nothing.
 */
export class CommandLists {
  /** The list of this node, once recorded. */
  list: CommandList | undefined;
  #below: Map<number, CommandLists> | undefined;

  /** Returns the node one level down. */
  at(key: number): CommandLists {
    this.#below ??= new Map();
    let node = this.#below.get(key);
    if (!node) {
      node = new CommandLists();
      this.#below.set(key, node);
    }
    return node;
  }

  clear(): void {
    this.list = undefined;
    this.#below = undefined;
  }
}
