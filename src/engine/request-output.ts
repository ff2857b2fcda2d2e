import type { SamplingParams, SamplingRow } from "../backend/backend.ts";
import { FORCED, type RankedLogprob, type TokenTexts } from "./logprobs.ts";
import type { OutputStream } from "./output-stream.ts";
import type { FinishReason, GenerationPart, GenerationResult, TokenLogprob } from "./request.ts";
import type { ThinkingBudget } from "./thinking-budget.ts";
import { type TokenRuleOptions, TokenRules } from "./token-rules.ts";

/** The resolved values of a request that concern its tokens. */
export interface OutputPlan {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly sampling: SamplingParams;
  /** Tokens that end it: end-of-sequence tokens and its own stop tokens. */
  readonly eosTokenIds: readonly number[];
  /** Absent: none. */
  readonly rules?: TokenRuleOptions | undefined;
  /** Absent: no limit on the reasoning. */
  readonly thinking?: ThinkingBudget | undefined;
  /** The alternatives that its result has beside each token, and their texts. Absent: the result has no logprobs. */
  readonly logprobs?: { readonly count: number; readonly texts: TokenTexts } | undefined;
}

/** The fields of a result that its tokens make. */
type OutputFields = Pick<
  GenerationResult,
  "text" | "reasoning" | "answer" | "tokenIds" | "logprobs" | "thinking"
>;

/** The tokens of a request as they come: their rules, their text, their logprobs, and the budget of the reasoning. */
export class RequestOutput {
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  /** Generated tokens that the model wrote inside its reasoning. */
  reasoningTokens = 0;
  readonly #plan: OutputPlan;
  readonly #stream: OutputStream;
  readonly #give: (parts: readonly GenerationPart[]) => void;
  readonly #rules: TokenRules | undefined;
  readonly #logprobs: TokenLogprob[] = [];
  /** True once the budget has ended the reasoning. */
  #isCut = false;

  /** give: receives the parts that tokens complete */
  constructor(plan: OutputPlan, stream: OutputStream, give: (parts: readonly GenerationPart[]) => void) {
    this.tokens = [...plan.prompt];
    this.#plan = plan;
    this.#stream = stream;
    this.#give = give;
    this.#rules = plan.rules && new TokenRules(plan.rules);
  }

  get numGenerated(): number {
    return this.tokens.length - this.#plan.prompt.length;
  }

  /** True if each sample needs all earlier tokens on the host. */
  get needsTokens(): boolean {
    return this.#plan.sampling.repetitionPenalty !== 1 || this.#rules?.needsTokens === true;
  }

  samplingRow(sampleIndex: number): SamplingRow {
    const row = { params: this.#plan.sampling, sampleIndex, seenTokens: this.tokens };
    return this.#rules ? this.#rules.applyTo(row, this.#stream.isReasoning) : row;
  }

  /** Takes a token of the model. Returns the reason if the output ends with it: at an end token, a stop text or maxTokens. */
  take(tokenId: number, ranked: RankedLogprob | undefined): FinishReason | undefined {
    const logprob = this.#add(tokenId, ranked);
    if (this.#plan.eosTokenIds.includes(tokenId)) return "stop";
    const wasReasoning = this.#stream.isReasoning;
    this.#rules?.accept(tokenId, this.numGenerated - 1, wasReasoning);
    const reason = this.#write(tokenId, logprob);
    if (wasReasoning && this.#stream.isReasoning) this.reasoningTokens++;
    return reason;
  }

  /** Takes the tokens of an earlier run, those that closed its reasoning among them. Returns the reason if the output ends with one. */
  resume(tokenIds: readonly number[]): FinishReason | undefined {
    for (const id of tokenIds) {
      const reason = this.take(id, undefined);
      if (reason) return reason;
    }
    const budget = this.#plan.thinking?.tokens ?? Number.POSITIVE_INFINITY;
    if (this.#stream.isReasoning || this.reasoningTokens < budget) return undefined;
    this.#isCut = tokenIds.length > 0;
    this.reasoningTokens = budget; // white space before the closing marker is not the model's
    return undefined;
  }

  /** True if the reasoning has used up its budget and is still open. */
  get isOverBudget(): boolean {
    const { thinking } = this.#plan;
    return thinking !== undefined && this.#stream.isReasoning && this.reasoningTokens >= thinking.tokens;
  }

  /** Writes the tokens that close the reasoning. Returns the reason if the output ends with one. */
  closeReasoning(): FinishReason | undefined {
    this.#isCut = true;
    for (const id of this.#plan.thinking?.closing(this.tokens) ?? []) {
      const logprob = this.#add(id, FORCED);
      this.#rules?.count(id);
      const reason = this.#write(id, logprob);
      if (reason) return reason;
    }
    return undefined;
  }

  #add(tokenId: number, ranked: RankedLogprob | undefined): TokenLogprob | undefined {
    this.tokens.push(tokenId);
    const logprob = ranked && this.#plan.logprobs?.texts.describe(tokenId, ranked);
    if (logprob) this.#logprobs.push(logprob);
    return logprob;
  }

  #write(tokenId: number, logprob: TokenLogprob | undefined): FinishReason | undefined {
    const mayStop = this.numGenerated >= (this.#plan.rules?.minTokens ?? 0);
    this.#give(this.#stream.push(tokenId, mayStop, logprob));
    if (this.#stream.isStopped) return "stop";
    return this.numGenerated >= this.#plan.maxTokens ? "length" : undefined;
  }

  /** Ends the text. */
  finish(): OutputFields {
    this.#give(this.#stream.finish());
    const { text, reasoning, answer } = this.#stream;
    const tokenIds = this.tokens.slice(this.#plan.prompt.length);
    return {
      ...{ text, reasoning, answer, tokenIds },
      ...(this.#plan.logprobs && { logprobs: this.#logprobs }),
      ...(this.#plan.thinking && { thinking: { isCut: this.#isCut } }),
    };
  }
}
