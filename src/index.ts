/** Public exports that run anywhere; `lessismore` in Node adds what opens files (src/node/index.ts). */

export {
  full,
  lessIsMore,
  oracleTopK,
  quest,
  randomTokens,
  streamingLlm,
  tidalDecode,
} from "./attention/policies/index.ts";
export type {
  AttentionModel,
  AttentionPolicy,
  LayerRole,
  SelectionLayersSource,
  Selector,
} from "./attention/policy.ts";
export { parseAttention } from "./attention/spec.ts";
export {
  AbortedError,
  BackendError,
  ConfigError,
  EngineError,
  type EngineErrorCode,
  ModelFileError,
  OutOfPagesError,
  RequestError,
  ShapeError,
} from "./base/errors.ts";
export type { BackendChoice, BackendHost, BackendOptions, TuningMode } from "./choose-backend.ts";
export { type ExamineOptions, examineMachineWith, type MachineReport, type TestReport } from "./doctor.ts";
export type {
  ChatMessage,
  FinishReason,
  Generation,
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  GenerationResult,
  GenerationTimings,
  PartKind,
} from "./engine/request.ts";
export {
  type AttentionReport,
  type CheckpointReport,
  type InspectOptions,
  inspectFolder,
} from "./inspect.ts";
export type { ByteSource, FileFolder } from "./load/byte-source.ts";
export { createFileListFolder } from "./load/file-list-folder.ts";
export type { WeightProblem } from "./load/scan-weights.ts";
export type { DecodeOptions, DecodeStream, Tokenizer } from "./load/tokenizer.ts";
export { createUrlFolder, type Fetch, type UrlFolderOptions } from "./load/url-folder.ts";
export {
  type Engine,
  type EngineHost,
  type EngineOptions,
  type EngineReport,
  type IgnoredTensors,
  openEngineWith,
} from "./open.ts";
