/** Solves problems on an engine in this process. */
import { createHash } from "node:crypto";
import {
  type AttentionObserver,
  BackendError,
  ConfigError,
  type Engine,
  type EngineReport,
  formatAttention,
  type Generation,
  type GenerationResult,
  type NodeEngineOptions,
  openEngine,
} from "../../src/node/index.ts";
import { hashPath, identifyModel } from "./model-identity.ts";
import type {
  AttentionChoice,
  ForcedRequest,
  Method,
  Scored,
  ScoreRequest,
  Solved,
  SolveRequest,
  Solver,
  SolverReport,
} from "./solver.ts";

/** Requests at once if the command names no number: those that the engine batches. */
const CONCURRENCY = { cpu: 16, gpu: 32 };

/** How to open the engine that solves. */
export interface EngineSolverOptions extends Omit<NodeEngineOptions, "maxConcurrent" | "attention"> {
  /** Requests at once. */
  readonly concurrency?: number;
}

/** Opens an engine as a solver. @throws ConfigError, ModelFileError, BackendError, AbortedError */
export async function openEngineSolver({
  concurrency,
  ...options
}: EngineSolverOptions): Promise<EngineSolver> {
  const engine = await openEngine({
    ...options,
    ...(concurrency !== undefined && { maxConcurrent: concurrency }),
  });
  try {
    const report = engine.report();
    const identity = await identifyModel(options.model, report.model.name);
    const atOnce = concurrency ?? (report.backend.name === "webgpu" ? CONCURRENCY.gpu : CONCURRENCY.cpu);
    return new EngineSolver(engine, {
      concurrency: atOnce,
      report: solverReport(options.model, report, { ...identity, ...templateOf(engine) }),
    });
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function templateOf({ chatTemplates }: Engine): Readonly<Record<string, string>> {
  if (chatTemplates.length === 0) return {};
  return { chatTemplateSha256: createHash("sha256").update(chatTemplates.join("\0")).digest("hex") };
}

function solverReport(
  named: string | undefined,
  { model, backend, loadMs, notes }: EngineReport,
  identity: Readonly<Record<string, unknown>>,
): SolverReport {
  const { name, weights, cacheDtype, contextLength, ...sizes } = model;
  return {
    model: named ?? "pico-reasoner",
    identity: {
      ...identity,
      weights: weights.dtype,
      formats: [...new Set(weights.formats.map(({ to }) => to))].sort(),
      cacheDtype,
      contextLength,
      backend: backend.name,
    },
    facts: { openedFrom: name, ...sizes, contextLength, cacheDtype, weights, backend, loadMs },
    notes,
  };
}

export class EngineSolver implements Solver {
  readonly report: SolverReport;
  readonly concurrency: number;
  readonly #engine: Engine;
  readonly #running = new Set<Generation>();
  #finishedTokens = 0;
  #scoredTokens = 0;

  constructor(
    engine: Engine,
    { report, concurrency }: { readonly report: SolverReport; readonly concurrency: number },
  ) {
    this.#engine = engine;
    this.report = report;
    this.concurrency = concurrency;
  }

  get tokenizer() {
    return this.#engine.tokenizer;
  }

  get contextLength(): number {
    return this.#engine.report().model.contextLength;
  }

  /** Binds by a request of one token, which names the policy with all its settings. */
  async bind(choices: readonly AttentionChoice[]): Promise<readonly Method[]> {
    const methods = new Map<string, Method & { readonly spec: string }>();
    for (const { spec, attention, identity: named } of choices) {
      const { attention: bound } = await this.#try(spec, attention);
      const label = formatAttention(bound);
      const identity = named ?? (await gateOf(bound.settings));
      const other = methods.get(label);
      if (other !== undefined && (other.identity !== undefined || named !== undefined))
        throw new ConfigError(
          `${spec} and ${other.spec} are both ${label}, so that their results could not be told apart; give one another name`,
        );
      // A spec keeps its text: the engine then knows equal policies for equal.
      if (other === undefined)
        methods.set(label, { spec, label, attention, ...(identity !== undefined && { identity }) });
    }
    return [...methods.values()].map(({ spec: _, ...method }) => method);
  }

  async #try(spec: string, attention: Method["attention"]): Promise<GenerationResult> {
    try {
      return await this.#engine.generate({ tokenIds: [0], maxTokens: 1, ...given({ attention }) }).result();
    } catch (error) {
      if (error instanceof BackendError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new ConfigError(`--attention ${spec}: ${message}`, { cause: error });
    }
  }

  async solve(request: SolveRequest): Promise<Solved> {
    return solvedOf(await this.#generate(request));
  }

  /** The observer sees the method's own steps: a policy changes nothing for being watched. */
  async observe(request: SolveRequest | ForcedRequest, observer: AttentionObserver): Promise<void> {
    if ("messages" in request) {
      await this.#generate(request, observer);
      return;
    }
    const { tokenIds, from, method, signal } = request;
    await this.#engine.score({
      ...{ tokenIds, from, observer },
      onLogits: () => {
        this.#scoredTokens++;
      },
      ...given({ attention: method.attention, signal }),
    });
  }

  async #generate(request: SolveRequest, observer?: AttentionObserver): Promise<GenerationResult> {
    const { messages, sampling, maxTokens, seed, method, chatTemplateOptions, signal } = request;
    const generation = this.#engine.generate({
      messages,
      ...sampling,
      seed,
      ...given({ attention: method.attention, maxTokens, chatTemplateOptions, signal, observer }),
    });
    this.#running.add(generation);
    try {
      return await generation.result();
    } finally {
      this.#running.delete(generation);
      this.#finishedTokens += generation.progress.generatedTokens;
    }
  }

  /** Methods that are scored together share their steps, so that none has a time of its own. */
  async score({ tokenIds, from, methods, signal }: ScoreRequest): Promise<readonly Scored[]> {
    const likeliest = methods.map(() => new Array<boolean>(tokenIds.length - from).fill(false));
    const results = await this.#engine.scoreEach({
      tokenIds,
      from,
      attentions: methods.map(({ attention, label }) => attention ?? label),
      onLogits: (index, position, logits) => {
        const flags = likeliest[index];
        if (flags !== undefined) flags[position - from] = isLikeliest(logits, tokenIds[position] ?? -1);
        this.#scoredTokens++;
      },
      ...given({ signal }),
    });
    return results.map(({ logProbs, attendedFraction, timings, notes }, i) => ({
      logProbs,
      isLikeliest: likeliest[i] ?? [],
      attendedFraction,
      prefillMs: timings.prefillMs,
      ...(methods.length === 1 && { decodeMs: timings.decodeMs, msPerToken: timings.msPerToken }),
      notes,
    }));
  }

  generatedTokens(): number {
    let sum = this.#finishedTokens + this.#scoredTokens;
    for (const { progress } of this.#running) sum += progress.generatedTokens;
    return sum;
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}

/** The content of a trained gate of a local path, which the policy's settings only name. */
async function gateOf({
  gate,
}: Readonly<Record<string, unknown>>): Promise<{ readonly gateSha256: string } | undefined> {
  const sha256 = typeof gate === "string" ? await hashPath(gate) : undefined;
  return sha256 === undefined ? undefined : { gateSha256: sha256 };
}

/** True if no logit is larger than the token's, nor equal at a lower id. */
function isLikeliest(logits: Float32Array, tokenId: number): boolean {
  const own = logits[tokenId];
  if (own === undefined) return false;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? Number.NaN;
    if (logit > own || (logit === own && id < tokenId)) return false;
  }
  return true;
}

function solvedOf({
  text,
  answer,
  usage,
  finishReason,
  attention,
  timings,
  notes,
}: GenerationResult): Solved {
  const { prefillMs, decodeMs, msPerToken } = timings;
  const hasDecoded = usage.completionTokens > 1;
  return {
    text,
    answer,
    ...usage,
    finishReason,
    prefillMs,
    ...(hasDecoded && { attendedFraction: attention.attendedFraction, decodeMs, msPerToken }),
    notes,
  };
}

/** Drops undefined entries. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
