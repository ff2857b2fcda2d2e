/** Prefill chunks depend on time and on other requests; their boundaries must not change any bit. */
import { expect, test } from "vitest";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny } from "./tiny-engine.ts";

const onCpu = BACKENDS.filter(({ name }) => !name.startsWith("webgpu"));

test.each(onCpu)("$name: logits of a prompt have the same bits for every chunk size", async ({ open }) => {
  for (const length of [17, 43, 95]) {
    const tokens = Array.from({ length }, (_, i) => 3 + ((i * 53) % 300));
    const all: Float32Array[] = [];
    for (const maxBatchRows of [128, 16, 40]) {
      const engine = await openTiny(open, { sizes: { maxBatchRows } });
      all.push(await engine.logits(tokens), await engine.logits(tokens));
      await engine.close();
    }
    for (const logits of all) expect(logits).toEqual(all[0]);
  }
});
