/** Logits of one prompt in prefill chunks of other sizes. Errors are numbers of logits that have other bits. */
import { join } from "node:path";
import type { CacheDtype } from "../../src/backend/backend.ts";
import { openEngine } from "../../src/node/index.ts";
import type { GpuRun } from "./gpu.ts";
import type { GpuTask } from "./rows.ts";

/** The first pass of an engine takes chunks of 256 and 1024 rows, a later one of as many as the backend proposes: 2048 here. */
export function chunkTasks(run: GpuRun, root: string): readonly GpuTask[] {
  return (run.isQuick ? (["f16"] as const) : (["f16", "f32"] as const)).map((cacheDtype) => ({
    name: `chunks, ${cacheDtype}`,
    run: () => testChunks(run, root, cacheDtype),
  }));
}

async function testChunks(run: GpuRun, root: string, cacheDtype: CacheDtype): Promise<void> {
  const length = run.isQuick ? 43 : 3000;
  const tokens = Array.from({ length }, (_, i) => 3 + ((i * 53) % 500));
  const options = { model: join(root, "models/pico-reasoner"), backend: "webgpu", cacheDtype } as const;
  const engine = await openEngine({ ...options, contextLength: 4096 });
  const passes = [];
  for (let pass = 0; pass < 3; pass++) passes.push(await engine.logits(tokens));
  await engine.close();
  const [first, ...others] = passes;
  for (const [i, logits] of others.entries()) {
    let error = 0;
    logits.forEach((logit, at) => {
      if (logit !== first[at]) error++;
    });
    run.rows.add("chunks", `${length} tokens, pass ${i + 2}, ${cacheDtype} cache`, { error, bound: 0 });
  }
}
