import { rerunForGpu } from "../node/index.ts";
import { asUsage } from "./open-with-progress.ts";

/**
 * Runs this command line again in a process that sees the named GPU alone, if the card has equals on this machine.
 * @returns the exit code of that run; undefined if the command goes on here
 * @throws UsageError for a GPU that is not there
 */
export async function rerunOnDevice(device: string | undefined): Promise<number | undefined> {
  if (device === undefined) return undefined;
  try {
    return await rerunForGpu(device);
  } catch (error) {
    throw asUsage(error);
  }
}
