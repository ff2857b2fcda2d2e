/** Whole checkpoints with an f16 cache: WebGPU beside the reference backend, which rounds keys and values alike. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import { type F16Rounding, OTHER_ROUNDING_SHARE, roundingOf } from "../golden/f16-rounding.ts";
import { worstLogitError } from "../golden/logit-error.ts";
import { webgpuForTests } from "./environment.ts";
import { withoutSubgroupMatrices } from "./without-matrices.ts";

const { gpu } = await webgpuForTests();
const rounding: F16Rounding = JSON.parse(readFileSync("test/golden/f16-rounding.json", "utf8"));

/** Scaled RoPE, and long factors of it: the two whose logits an f16 cache moves most. SwiftShader has no time for more. */
const CHECKPOINTS = ["ministral3-yarn", "phi3-longrope"];
/** SwiftShader compiles for 10 s of a core, which it may have to share. */
const COMPILING_MS = 300_000;

/** One source for all engines: the device tests itself once. */
const openGpu = async () => withoutSubgroupMatrices(gpu as GPU);

async function logitsOf(name: string, backend: "webgpu" | "reference", tokenIds: readonly number[]) {
  const folder = await openFileFolder(`test/golden/hf/${name}`);
  const host = { folder, wasm: createWasmHost(), openGpu };
  const engine = await openEngineWith(host, { backend, cacheDtype: "f16" });
  const logits = await engine.logits(tokenIds);
  await engine.close();
  return logits;
}

test.skipIf(gpu === undefined).each(CHECKPOINTS)(
  "%s: logits are those of the reference's f16 cache, to a fraction of what the cache rounds",
  async (name) => {
    const { input_ids: ids } = JSON.parse(readFileSync(`test/golden/hf/${name}/golden.json`, "utf8"));
    const [actual, expected] = [await logitsOf(name, "webgpu", ids), await logitsOf(name, "reference", ids)];
    const { nearest } = roundingOf(rounding, name).cache;
    expect(worstLogitError(actual, expected, ids.length)).toBeLessThan(OTHER_ROUNDING_SHARE * nearest);
  },
  COMPILING_MS,
);
