/** Public exports that run anywhere. Each place adds its openers (src/node/index.ts, src/browser/index.ts). */

export type { BlockGates, PolicyHost } from "./attention/block-gates.ts";
export type { BudgetOptions } from "./attention/budget.ts";
export type {
  AttentionObserver,
  LayerTrace,
  Observed,
  SelectionEnds,
  StepTrace,
} from "./attention/observer.ts";
export {
  full,
  kascade,
  keySketch,
  lessIsMore,
  oracleTopK,
  quest,
  randomTokens,
  seerAttentionR,
  streamingLlm,
  tidalDecode,
} from "./attention/policies/index.ts";
export type { HeadMaps, KascadeOptions } from "./attention/policies/kascade.ts";
export type { KeySketchOptions } from "./attention/policies/key-sketch.ts";
export type { LessIsMoreOptions, SetsOf } from "./attention/policies/less-is-more.ts";
export type { OracleTopKOptions } from "./attention/policies/oracle-top-k.ts";
export type { QuestOptions } from "./attention/policies/quest.ts";
export type { RandomTokensOptions } from "./attention/policies/random-tokens.ts";
export type { SeerAttentionROptions } from "./attention/policies/seer-attention-r.ts";
export type { StreamingLlmOptions } from "./attention/policies/streaming-llm.ts";
export type { TidalDecodeOptions } from "./attention/policies/tidal-decode.ts";
export type {
  AttentionModel,
  AttentionPolicy,
  LayerRole,
  PoolingOptions,
  SelectionLayersSource,
  Selector,
} from "./attention/policy.ts";
export { formatAttention, parseAttention } from "./attention/spec.ts";
export type { BackendName, BackendReport, TuningReport } from "./backend/backend.ts";
export type { ExpertShape } from "./backend/model-shape.ts";
export type { KeptEnds, Pooling, Scores, TokenSelection, UnitSet } from "./backend/selection-backend.ts";
export { CACHE_DTYPES, type CacheDtype } from "./base/cache-dtype.ts";
export type { TensorDtype } from "./base/dtype.ts";
export {
  AbortedError,
  BackendError,
  ConfigError,
  EngineError,
  type EngineErrorCode,
  ModelFileError,
  OutOfPagesError,
  RequestError,
  SessionError,
  type SessionErrorReason,
  ShapeError,
} from "./base/errors.ts";
export type { TensorRef } from "./base/tensor-ref.ts";
export type { ConstraintSpec, SequenceItem, TokenConstraint } from "./constraint/constraint.ts";
export type { Engine, EngineReport, LoadedEngine } from "./engine/engine-api.ts";
export type { EngineStats } from "./engine/engine-stats.ts";
export type { PrefixCounts } from "./engine/prefix-reuse.ts";
export type {
  ChatMessage,
  FinishReason,
  Generation,
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  GenerationResult,
  GenerationTimings,
  GenerationUsage,
  PartKind,
  RequestTimings,
  TokenAlternative,
  TokenLogprob,
} from "./engine/request.ts";
export type { ScoreEachRequest, ScoreRequest, ScoreResult } from "./engine/score.ts";
export type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "./engine/session.ts";
export type { StepCounts } from "./engine/step-runner.ts";
export type { PromptToTokenize, TokenizedPrompt } from "./engine/tokenize-prompt.ts";
export {
  type AttentionReport,
  type CheckpointReport,
  type InspectOptions,
  inspectFolder,
  type MemoryRow,
} from "./inspect.ts";
export type { PageCounts } from "./kv/page-pool.ts";
export type { ByteSource, FileFolder } from "./load/byte-source.ts";
export { CALIBRATION_FORMAT, type Calibration, calibrationFileOf } from "./load/calibration.ts";
export type { TemplateMessage } from "./load/chat-template.ts";
export { createFileListFolder } from "./load/file-list-folder.ts";
export type { PullOptions } from "./load/hub/pull-model.ts";
export type { RetryOptions } from "./load/hub/retry.ts";
export type { DownloadProgress } from "./load/hub/transfer-rate.ts";
export type { JsonObject } from "./load/json-file.ts";
export type { WeightProblem } from "./load/scan-weights.ts";
export type { OutputBytes } from "./load/tokenizer/output-bytes.ts";
export type { DecodeOptions, DecodeStream, Tokenizer } from "./load/tokenizer.ts";
export { createUrlFolder, type Fetch, type UrlFolderOptions } from "./load/url-folder.ts";
export {
  type AdapterReport,
  BACKEND_CHOICES,
  type BackendChoice,
  type BackendHost,
  type BackendOptions,
  type TuningMode,
} from "./machine/backends.ts";
export {
  type ExaminedAdapter,
  type ExamineOptions,
  examineMachineWith,
  type MachineReport,
  type TestReport,
  type UnopenedGpu,
} from "./machine/doctor.ts";
export type { MemoryEstimate } from "./machine/estimate-memory.ts";
export { DTYPE_CHOICES, type DtypeChoice } from "./machine/fit-model.ts";
export type { SelfTestRow } from "./machine/self-test-numbers.ts";
export type { SelfTest } from "./machine/test-candidate.ts";
export { type StarterModel, suggestModels } from "./model/starter-models.ts";
export type { StoredFormat, WeightDtype, WeightPrecision } from "./model/weight-storage.ts";
export type { IgnoredTensors } from "./model/weights.ts";
export { type EngineHost, openEngineWith } from "./open.ts";
export type { EngineOptions } from "./open-options.ts";
export {
  planTools,
  type ToolChoice,
  type ToolDefinition,
  type ToolPlan,
  type ToolRequest,
} from "./tools/plan-tools.ts";
export type { ToolCallParser, ToolEvent } from "./tools/tool-call-parser.ts";
export type { ToolStyle } from "./tools/tool-style.ts";
