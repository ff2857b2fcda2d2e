// node dist/bench/webgpu/main.js kernels|decode|prefill --json
import { parseArgs } from "node:util";
import { Attention } from "../../src/attention/attend.ts";
import { parseAttention } from "../../src/attention/spec.ts";
import { openDawn } from "../../src/node/dawn.ts";
import { benchDecode, openShape, Stepper } from "./decode.ts";
import { benchKernels, measureRead } from "./kernels.ts";
import { SHAPES } from "./shapes.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: "string", default: "llama-3.1-8b" },
    dtype: { type: "string", default: "f16" },
    cache: { type: "string", default: "f16" },
    context: { type: "string", default: "16384,32768,65536,131072" },
    attention: { type: "string", multiple: true, default: ["full", "less-is-more:budget=2048"] },
    steps: { type: "string", default: "10" },
    rows: { type: "string", default: "1024" },
    enable: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
});
const gpu = await openDawn({ enable: values.enable });
const adapter = async () => {
  const found = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!found) throw new Error("no WebGPU adapter");
  return found;
};
const shape = SHAPES[values.shape];
if (!shape) throw new Error(`unknown shape ${values.shape}; known are ${Object.keys(SHAPES).join(", ")}`);
const contexts = values.context.split(",").map(Number);
const dtype = values.dtype as "f16" | "bf16" | "f32";
const cacheDtype = values.cache as "f16" | "f32";
const show = (row: object) => console.log(JSON.stringify(row));

switch (positionals[0]) {
  case "kernels":
    for (const row of await benchKernels(await adapter(), contexts, dtype, cacheDtype)) show(row);
    break;
  case "decode": {
    const readBandwidth = await measureRead(await adapter());
    show({ readBandwidth });
    const options = { contexts, attention: values.attention, steps: Number(values.steps), dtype, cacheDtype };
    await benchDecode(await adapter(), shape, { ...options, readBandwidth }, show);
    break;
  }
  case "prefill": {
    const tokens = contexts[0] ?? 4096;
    const rows = Number(values.rows);
    const { backend, weights } = await openShape(await adapter(), shape, tokens, rows, dtype, cacheDtype);
    const model = { ...shape, pageSize: 16, defaultSelectionLayers: shape.selectionLayers };
    const stepper = new Stepper(backend, weights, new Attention(backend, model));
    const full = parseAttention("full");
    const run = async () => {
      const started = performance.now();
      for (let first = 0; first < tokens; first += rows)
        stepper.prefill(first, Math.min(rows, tokens - first), full);
      await backend.finish();
      return performance.now() - started;
    };
    await run();
    const ms = Math.min(await run(), await run(), await run());
    const { hiddenSize: hidden, numQueryHeads, numKvHeads, headDim, intermediateSize, numLayers } = shape;
    const matrices = hidden * (2 * numQueryHeads + 2 * numKvHeads) * headDim + 3 * hidden * intermediateSize;
    const flops = 2 * tokens * numLayers * (matrices + tokens * numQueryHeads * headDim);
    show({ prefill: tokens, rows, ms, teraflops: flops / ms / 1e9, tokensPerSecond: (tokens / ms) * 1000 });
    const gpuMs = await backend.profile(() => stepper.prefill(tokens - rows, rows, full));
    show({ gpuMs });
    await backend.close();
    break;
  }
  default:
    throw new Error("which benchmark? kernels, decode or prefill");
}
