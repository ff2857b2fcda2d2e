import type { BlockGate, BlockGateShape } from "../backend/backend.ts";

/**
 * The loaded gates of a model, in a backend's tensors, with their data of each page. Owner of those data: `PagePool.dataOf`
 * tracks by this object which pages have them.
 */
export interface BlockGates extends BlockGateShape {
  /** Names the file in messages. */
  readonly name: string;
  /** Of the weights and sizes. */
  readonly fingerprint: string;
  /** The first layer with a gate. */
  readonly startLayer: number;
  /** By layer; undefined for layers that select nothing. */
  readonly layers: readonly (BlockGate | undefined)[];
}

/** What an engine gives to policies that own weights. */
export interface PolicyHost {
  /**
   * Loads gates from a folder, a file or a repository of the hub; undefined: from the file beside the model. The same location
   * gives the same object.
   * @throws ModelFileError, ConfigError, BackendError
   */
  loadGates(location: string | undefined): Promise<BlockGates>;
}
