// A child process that opens each folder it receives and reports the outcome. Its parent limits its time and memory.
// Uses the built engine: `node --max-old-space-size=512 test/fuzz/open-folder.mjs`.
import { EngineError, openEngineWith } from "../../dist/src/node/index.js";
import { createWasmHost } from "../../dist/src/node/wasm-host.js";

/** @param {Record<string, Uint8Array>} files */
function folderOf(files) {
  return {
    name: "fuzzed",
    list: async () => Object.keys(files),
    open: async (path) => {
      const bytes = Object.hasOwn(files, path) ? files[path] : undefined;
      if (bytes === undefined) return undefined;
      const read = async (offset, length) => Uint8Array.from(bytes.subarray(offset, offset + length));
      return { name: path, sizeBytes: bytes.length, read };
    },
  };
}

async function outcomeOf(files, backend) {
  const openGpu = () => Promise.reject(new Error("no GPU here"));
  try {
    const host = { folder: folderOf(files), wasm: createWasmHost(), openGpu };
    const engine = await openEngineWith(host, { backend, threads: 1, maxConcurrent: 1 });
    try {
      JSON.stringify(engine.report());
      await engine.logits([1, 2]);
      await engine.generate({ tokenIds: [1], maxTokens: 2 }).result();
      return "engine";
    } finally {
      await engine.close();
    }
  } catch (error) {
    if (error instanceof EngineError) return `typed ${error.code}: ${error.message}`;
    return `untyped ${error instanceof Error ? error.stack : String(error)}`;
  }
}

process.on("message", async ({ files, backend }) => {
  const outcome = await outcomeOf(files, backend);
  process.send?.({ outcome: outcome.slice(0, 2000), peakBytes: process.resourceUsage().maxRSS * 1024 });
});
process.send?.("ready");
