/** Peak memory of opening a checkpoint and filling its cache, and bytes read from its file. */
import { readFileSync } from "node:fs";
import { openEngine } from "../../src/node/index.ts";
import { withRandomCheckpoint } from "./random-checkpoint.ts";

const MIB = 2 ** 20;
/** Decode steps at the end, past what any step has to set up. */
const STEPS = 16;

export interface MemoryRow {
  readonly weightsMiB: number;
  readonly kvCacheMiB: number;
  /** Resident before: the runtime with the bundled model open and closed, so that code and threads are counted in. */
  readonly bareMiB: number;
  readonly peakAfterOpenMiB: number;
  readonly peakMiB: number;
  /** What the model added to the peak, over weights and cache. */
  readonly ratio: number;
  readonly target: string;
  /** Bytes that opening read, over the bytes of the weights; only where the system counts them (Linux). */
  readonly readOverWeights: number;
}

export function benchMemory(options: {
  readonly context: number;
  readonly threads?: number;
}): Promise<MemoryRow> {
  return withRandomCheckpoint("qwen3-222m", async (model, fileBytes) => {
    const { context: contextLength, ...threads } = options;
    const rest = { backend: "wasm", maxConcurrent: 1, ...threads } as const;
    const small = await openEngine({ ...rest, contextLength: 512 });
    await small.generate({ tokenIds: [1, 2, 3], maxTokens: STEPS, ignoreEos: true }).result();
    await small.close();
    const bare = peak();
    const readBefore = bytesRead();
    const engine = await openEngine({ ...rest, model, contextLength });
    const afterOpen = peak();
    const read = bytesRead() - readBefore;
    try {
      const tokenIds = Array.from({ length: contextLength - STEPS }, (_, i) => (i * 7919) % 32000);
      await engine.generate({ tokenIds, maxTokens: STEPS, ignoreEos: true }).result();
      const { weightBytes, kvCacheBytes } = engine.report().backend;
      const total = weightBytes + kvCacheBytes;
      return {
        weightsMiB: weightBytes / MIB,
        kvCacheMiB: kvCacheBytes / MIB,
        bareMiB: bare / MIB,
        peakAfterOpenMiB: afterOpen / MIB,
        peakMiB: peak() / MIB,
        ratio: (peak() - bare) / total,
        target: "at most 1.2",
        readOverWeights: read / fileBytes,
      };
    } finally {
      await engine.close();
    }
  });
}

/** Most bytes that were ever resident. */
function peak(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Bytes this process has read so far. */
function bytesRead(): number {
  if (process.platform !== "linux") return Number.NaN;
  const found = /^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"));
  return Number(found?.[1]);
}
