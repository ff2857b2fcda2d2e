import type { SpawnSyncReturns } from "node:child_process";

/** A running cluster of one node. */
export interface LocalSlurm {
  /** Environment in which sbatch and its like find the cluster. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  /** Runs a program of Slurm. */
  call(program: string, args: readonly string[]): SpawnSyncReturns<string>;
  /** Ends the daemons and removes the folder. */
  stop(): Promise<void>;
}

/** True if Slurm is unpacked. */
export function hasSlurm(): boolean;

/** Starts a cluster of one node. @throws Error with the logs when it does not come up */
export function startSlurm(): Promise<LocalSlurm>;
