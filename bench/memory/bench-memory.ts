/** Peak memory of opening a checkpoint and filling its cache, and bytes read from its file. */
import { readFileSync } from "node:fs";
import { openEngine } from "../../src/node/index.ts";
import { withRandomCheckpoint } from "./random-checkpoint.ts";

const MIB = 2 ** 20;
/** Decode steps at the end, after everything is set up. */
const STEPS = 16;

export interface MemoryRow {
  readonly weightsMiB: number;
  readonly kvCacheMiB: number;
  /** Resident bytes before: the runtime after the bundled model was opened and closed, so that code and threads count. */
  readonly bareMiB: number;
  readonly peakAfterOpenMiB: number;
  readonly peakMiB: number;
  /** Growth of the peak, over the bytes of weights and cache. */
  readonly ratio: number;
  readonly target: string;
  /** Bytes that opening read from files, over the bytes of the weights; Linux only. */
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

/** Peak of the resident bytes. */
function peak(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Bytes this process has read so far. */
function bytesRead(): number {
  if (process.platform !== "linux") return Number.NaN;
  const found = /^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"));
  return Number(found?.[1]);
}
