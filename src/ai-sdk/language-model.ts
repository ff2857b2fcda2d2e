/** A model of the AI SDK: one engine, in this process or behind a worker. */
import { AbortedError, EngineError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import type { Generation, GenerationPart, GenerationResult } from "../engine/request.ts";
import type {
  CallOptions,
  FinishReason,
  GenerateResult,
  LessIsMoreLanguageModel,
  ProviderMetadata,
  SpecificationVersion,
  StreamPart,
  Usage,
  Warning,
} from "./model-types.ts";
import { contentOf, PartWriter } from "./part-writer.ts";
import { readCall } from "./read-options.ts";

export class EngineLanguageModel<Version extends SpecificationVersion>
  implements LessIsMoreLanguageModel<Version>
{
  readonly specificationVersion: Version;
  readonly provider = "lessismore";
  readonly modelId: string;
  /** None: files are not read. */
  readonly supportedUrls: Record<string, RegExp[]> = {};
  readonly #engine: Engine;

  constructor(engine: Engine, modelId: string, specificationVersion: Version) {
    this.#engine = engine;
    this.modelId = modelId;
    this.specificationVersion = specificationVersion;
  }

  /** @throws RequestError, ConfigError, OutOfPagesError, BackendError; the reason of the signal if it ends the call */
  async doGenerate(options: CallOptions): Promise<GenerateResult> {
    const { request, warnings, createParser } = readCall(options, this.#engine.chatTemplates);
    try {
      const result = await this.#engine.generate(request).result();
      const writer = new PartWriter(createParser?.());
      const { reasoning, answer, notes } = result;
      const parts = [
        ...writer.push({ kind: "reasoning", text: reasoning }),
        ...writer.push({ kind: "answer", text: answer }),
        ...writer.end(),
      ];
      const told = [...notes, ...notesOf(writer)].map((message): Warning => ({ type: "other", message }));
      return {
        content: contentOf(parts),
        finishReason: finishOf(result, writer),
        usage: usageOf(result),
        providerMetadata: metadataOf(result, writer),
        response: { timestamp: new Date(), modelId: this.modelId },
        warnings: [...warnings, ...told],
      };
    } catch (error) {
      throw reasonOf(error, options.abortSignal);
    }
  }

  /** Streams parts as the model writes them, at the reader's pace. Cancelling the stream ends the request. */
  async doStream(options: CallOptions): Promise<{ stream: ReadableStream<StreamPart> }> {
    const { request, warnings, createParser } = readCall(options, this.#engine.chatTemplates);
    const { abortSignal } = options;
    if (abortSignal?.aborted) throw abortSignal.reason;
    const generation = this.#engine.generate(request);
    const reading = generation[Symbol.asyncIterator]();
    const writer = new PartWriter(createParser?.());
    const parts = streamParts({ generation, reading, writer }, abortSignal);
    const { modelId } = this;
    const stream = new ReadableStream<StreamPart>({
      start: (controller) => {
        controller.enqueue({ type: "stream-start", warnings: [...warnings] });
        controller.enqueue({ type: "response-metadata", timestamp: new Date(), modelId });
      },
      pull: async (controller) => {
        const next = await parts.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: async () => {
        await reading.return?.(); // `parts` may be waiting for it
      },
    });
    return { stream };
  }
}

/** A generation that is streamed. */
interface Streamed {
  readonly generation: Generation;
  readonly reading: AsyncIterator<GenerationPart>;
  readonly writer: PartWriter;
}

/** @throws the reason of the signal */
async function* streamParts(
  { generation, reading, writer }: Streamed,
  signal: AbortSignal | undefined,
): AsyncGenerator<StreamPart, void> {
  try {
    for (let next = await reading.next(); !next.done; next = await reading.next())
      yield* writer.push(next.value);
    const result = await generation.result();
    yield* writer.end();
    yield {
      type: "finish",
      usage: usageOf(result),
      finishReason: finishOf(result, writer),
      providerMetadata: metadataOf(result, writer),
    };
  } catch (error) {
    if (signal?.aborted && error instanceof AbortedError) throw signal.reason;
    yield* writer.end();
    yield { type: "error", error };
    const raw = error instanceof EngineError ? error.code : undefined;
    yield { type: "finish", usage: NO_USAGE, finishReason: { unified: "error", raw } };
  }
}

/** The reason of the signal in place of the engine's error, as `fetch` has it: the AI SDK knows an abort by that. */
function reasonOf(error: unknown, signal: AbortSignal | undefined): unknown {
  return signal?.aborted && error instanceof AbortedError ? signal.reason : error;
}

function finishOf({ finishReason }: GenerationResult, { numCalls }: PartWriter): FinishReason {
  const isCall = finishReason === "stop" && numCalls > 0;
  return { unified: isCall ? "tool-calls" : finishReason, raw: finishReason };
}

/** Says which calls the output left open, since they are in no other part. */
function notesOf({ brokenCalls }: PartWriter): string[] {
  return brokenCalls.map((name) => `the output ended inside a call of ${name}, which is left out`);
}

function usageOf({ usage }: GenerationResult): Usage {
  const { promptTokens, completionTokens, reasoningTokens, cachedTokens } = usage;
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      cacheWrite: undefined,
    },
    outputTokens: {
      total: completionTokens,
      text: completionTokens - reasoningTokens,
      reasoning: reasoningTokens,
    },
  };
}

const NO_USAGE: Usage = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
};

/** What the AI SDK has no name for. */
function metadataOf(result: GenerationResult, writer: PartWriter): ProviderMetadata {
  const { attention, timings, notes, thinking } = result;
  return {
    lessismore: {
      attention: attention.name,
      attendedFraction: attention.attendedFraction,
      prefillMs: timings.prefillMs,
      decodeMs: timings.decodeMs,
      notes: [...notes, ...notesOf(writer)],
      ...(thinking && { isThinkingCut: thinking.isCut }),
    },
  };
}
