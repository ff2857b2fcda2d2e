import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";

/** This machine, for the record. */
export function describeMachine(): Readonly<Record<string, string | number>> {
  return {
    node: process.version,
    platform: `${platform()}-${arch()}`,
    release: release(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  };
}
