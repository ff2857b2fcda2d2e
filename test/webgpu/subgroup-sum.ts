/** A dispatch with the features that our kernels use: subgroups, atomics and timestamps. */
import { BackendError } from "../../src/base/errors.ts";

// values of GPUBufferUsage and GPUMapMode, which Node lacks as globals
const USAGE = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128, queryResolve: 512 };
const MAP_READ = 1;

const CODE = `
enable subgroups;
@group(0) @binding(0) var<storage, read_write> total: atomic<u32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) id: u32) {
  let sum = subgroupAdd(lane + 1u);
  if (id == 0u) { atomicAdd(&total, sum); }
}`;

/** Sums 1 to 64, one number a lane, and destroys its device. */
export async function sumWithSubgroups(gpu: GPU | undefined): Promise<{ sum: number; elapsedNs: bigint }> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new BackendError("no WebGPU adapter");
  const device = await adapter.requestDevice({ requiredFeatures: ["subgroups", "timestamp-query"] });
  try {
    const total = device.createBuffer({ size: 4, usage: USAGE.storage | USAGE.copySource });
    const ticks = device.createBuffer({ size: 16, usage: USAGE.queryResolve | USAGE.copySource });
    const result = device.createBuffer({ size: 24, usage: USAGE.copyTarget | USAGE.mapRead });
    const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: CODE }) },
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: total } }];
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.resolveQuerySet(querySet, 0, 2, ticks, 0);
    encoder.copyBufferToBuffer(ticks, 0, result, 0, 16);
    encoder.copyBufferToBuffer(total, 0, result, 16, 4);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(MAP_READ);
    const view = new DataView(result.getMappedRange());
    return {
      sum: view.getUint32(16, true),
      elapsedNs: view.getBigUint64(8, true) - view.getBigUint64(0, true),
    };
  } finally {
    device.destroy();
  }
}
