/**
 * The engine's parts for the benchmarks, which time single ops and whole steps without an engine. No part of the package's
 * exports: anything here changes without notice.
 */
export { Attention } from "../attention/attend.ts";
export { bindAttention } from "../attention/bind-attention.ts";
export type { AttentionModel } from "../attention/policy.ts";
export { predictReads } from "../attention/predict-reads.ts";
export type {
  Backend,
  BackendFactory,
  CacheDtype,
  Capacity,
  InFlightSample,
  ModelShape,
  SamplingRow,
  Scores,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../backend/backend.ts";
export { plainShape } from "../backend/plain-shape.ts";
export { createReferenceBackend } from "../backend/reference/reference-backend.ts";
export { wasmFactory } from "../backend/wasm/open-wasm.ts";
export { WasmWeight } from "../backend/wasm/refs.ts";
export { WasmBackend } from "../backend/wasm/wasm-backend.ts";
export {
  combineAttention,
  contextOf,
  fillBackend,
  profile,
  sampleOnDevice,
} from "../backend/webgpu/bench-access.ts";
export { fillRandom } from "../backend/webgpu/fill-random.ts";
export { adapterName, type WebGpuOptions, webGpuFactory } from "../backend/webgpu/open-webgpu.ts";
export type { NumberedBuffer } from "../backend/webgpu/refs.ts";
export type { Tuning } from "../backend/webgpu/tuning.ts";
export { WebGpuBackend } from "../backend/webgpu/webgpu-backend.ts";
export { webGpuCandidate } from "../backend/webgpu/webgpu-kind.ts";
export { QUANTISED_FORMATS } from "../backend/webgpu/weight-rows.ts";
export { withAllPages } from "../backend/with-all-pages.ts";
export { cacheRowBytes } from "../base/cache-dtype.ts";
export type { TensorRef } from "../base/tensor-ref.ts";
export { rowBytes, type WeightFormat } from "../base/weight-format.ts";
export { GenerationEngine } from "../engine/engine.ts";
export type { EngineComponents } from "../engine/engine-components.ts";
export { type RopeWriter, type SequenceRun, StepBatchBuilder } from "../engine/step-batch.ts";
export { openCheckpoint } from "../load/checkpoint.ts";
export { THINK_TAGS } from "../load/reasoning-markers.ts";
export { type ModelConfig, parseModelConfig } from "../model/config.ts";
export { Decoder } from "../model/decoder.ts";
export { attentionModelOf } from "../model/model-size.ts";
export { createRope } from "../model/rope.ts";
export { loadWeights, type ModelWeights } from "../model/weights.ts";
export { openRemote } from "../worker/open-remote.ts";
export { channelOf } from "../worker/protocol.ts";
export { serveEngine } from "../worker/serve-engine.ts";
export { openDawn } from "./dawn.ts";
export { type FoundGpu, findGpu } from "./gpu-list.ts";
export { openModel } from "./hub/open-model.ts";
export * from "./index.ts";
export { openEngineWithHooks } from "./open-engine.ts";
export { createWasmHost } from "./wasm-host.ts";
export { openEngineInWorker } from "./worker.ts";
