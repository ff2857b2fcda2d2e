/** `lessismore/ai-sdk`: an engine as a provider of the Vercel AI SDK, in process. */
import { RequestError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import { EngineLanguageModel } from "./language-model.ts";
import type { LessIsMoreLanguageModel, SpecificationVersion } from "./model-types.ts";

export type {
  CallOptions,
  Content,
  FinishReason,
  GenerateResult,
  GivenTool,
  GivenToolChoice,
  Json,
  LessIsMoreLanguageModel,
  PromptMessage,
  PromptPart,
  ProviderMetadata,
  SpecificationVersion,
  StreamPart,
  Usage,
  Warning,
} from "./model-types.ts";

/** What makes an engine a provider. */
export interface LessIsMoreSettings<Version extends SpecificationVersion = "v3"> {
  /** An open engine, of `openEngine` or `openEngineInWorker`. Closing it is the caller's. */
  readonly engine: Engine;
  /** Name of the model for the AI SDK. Default: the last part of its path. */
  readonly modelId?: string;
  /** Version of LanguageModel: "v3" for `ai` 6, "v4" for `ai` 7, whose calls may name an effort of reasoning. Default "v3". */
  readonly specificationVersion?: Version;
}

/** A provider of one model: `lessismore()` or `lessismore.languageModel(id)`. */
export interface LessIsMoreProvider<Version extends SpecificationVersion> {
  (modelId?: string): LessIsMoreLanguageModel<Version>;
  readonly specificationVersion: Version;
  /** @throws RequestError on the name of another model */
  languageModel(modelId: string): LessIsMoreLanguageModel<Version>;
  /** @throws RequestError: the engine has language models alone */
  embeddingModel(modelId: string): never;
  /** @throws RequestError: the engine has language models alone */
  imageModel(modelId: string): never;
}

/** Makes a provider of an engine. */
export function createLessIsMore<Version extends SpecificationVersion = "v3">(
  settings: LessIsMoreSettings<Version>,
): LessIsMoreProvider<Version> {
  const { engine, modelId: own = lastPart(engine.report().model.name) } = settings;
  const specificationVersion = (settings.specificationVersion ?? "v3") as Version;
  const model = new EngineLanguageModel(engine, own, specificationVersion);
  const languageModel = (modelId: string = own): LessIsMoreLanguageModel<Version> => {
    if (modelId === own) return model;
    throw new RequestError(`lessismore: no model "${modelId}"; this provider's engine has "${own}"`);
  };
  const refuse = (kind: string) => (modelId: string) => {
    throw new RequestError(`lessismore: no ${kind} model "${modelId}"; the engine has language models alone`);
  };
  return Object.assign((modelId?: string) => languageModel(modelId), {
    specificationVersion,
    languageModel,
    embeddingModel: refuse("embedding"),
    imageModel: refuse("image"),
  });
}

const lastPart = (path: string): string => path.split(/[\\/]/).at(-1) || path;
