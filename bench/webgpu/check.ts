/** Checks the WebGPU backend of this machine on the bundled model: the texts of the reasoning problems, and times. */
import { readFileSync } from "node:fs";
import { bundledModelFolder, openEngine } from "../../src/node/index.ts";

interface Problem {
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
}

const [path = "", most = "100000"] = process.argv.slice(2);
const problems: readonly Problem[] = JSON.parse(readFileSync(path, "utf8"));
for (const cacheDtype of ["f32", "f16"] as const) {
  const engine = await openEngine({ model: bundledModelFolder(), backend: "webgpu", cacheDtype });
  console.log(cacheDtype, engine.report().backend.description);
  for (const [i, problem] of problems.entries()) {
    for (const attention of [
      "full",
      "less-is-more:budget=256,layers=2+7",
      "quest:budget=256",
      "tidal-decode:budget=256",
    ]) {
      const result = await engine
        .generate({
          tokenIds: problem.prompt_ids,
          attention,
          maxTokens: Math.min(Number(most), problem.greedy_ids.length),
          temperature: 0,
        })
        .result();
      const same = problem.greedy_ids.findIndex(
        (id, n) => n < result.tokenIds.length && result.tokenIds[n] !== id,
      );
      console.log(
        i,
        attention,
        result.tokenIds.length,
        same < 0 ? "same" : `differs at ${same}`,
        result.timings.msPerToken.toFixed(2),
      );
    }
  }
  await engine.close();
}
