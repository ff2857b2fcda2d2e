/** The GPU that `--device` names, for every command: one process computes on one. */
import { type FoundGpu, findGpu, rerunForGpu } from "../src/node/internal.ts";

let chosen: string | undefined;

/**
 * Takes the GPU that the command line names.
 * @returns the exit code if the command line ran in another process, which sees the GPU without its equals
 * @throws ConfigError for one that is not there
 */
export async function takeDevice(device: string | undefined): Promise<number | undefined> {
  chosen = device;
  return device === undefined ? undefined : rerunForGpu(device);
}

/** The option of `openEngine`; none if nobody named a GPU. */
export function deviceOption(): { readonly device?: string } {
  return chosen === undefined ? {} : { device: chosen };
}

/** The named GPU; undefined if nobody named one. @throws BackendError */
export async function namedGpu(): Promise<FoundGpu | undefined> {
  return chosen === undefined ? undefined : findGpu(chosen);
}
