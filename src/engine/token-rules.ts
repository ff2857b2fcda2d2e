/** Rules of a request for its next token, beside the parameters of sampling. */
import { maskWords } from "../backend/adjust-logits.ts";
import type { SamplingRow, TokenBias } from "../backend/backend.ts";
import { RequestError } from "../base/errors.ts";
import type { TokenConstraint } from "../constraint/constraint.ts";

export interface TokenRuleOptions {
  /** Lowers the logit of each generated token once. */
  readonly presencePenalty: number;
  /** Lowers the logit of a generated token by this for each time that it came. */
  readonly frequencyPenalty: number;
  /** Added to logits: token id, value. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Tokens that end the output, each in the vocabulary. None is sampled as one of its first `minTokens` tokens. */
  readonly endTokenIds: readonly number[];
  readonly minTokens: number;
  /** Applies to the answer, not to the reasoning. */
  readonly constraint?: TokenConstraint | undefined;
  /** The token that opens the reasoning, if a constrained output may begin with it. */
  readonly openingTokenId?: number | undefined;
  readonly vocabSize: number;
}

/** True if rules change logits by token. */
export function hasBias(rules: TokenRuleOptions): boolean {
  const { presencePenalty, frequencyPenalty, logitBias, minTokens } = rules;
  return presencePenalty !== 0 || frequencyPenalty !== 0 || logitBias.size > 0 || minTokens > 0;
}

/** The biases of one output: given ones, penalties of the tokens generated so far, and bans of tokens that would end it too early. */
class OutputBias implements TokenBias {
  readonly ids: number[] = [];
  readonly values: number[] = [];
  readonly #rules: TokenRuleOptions;
  /** By token: its place in `ids` and `values`, and how often it was generated. */
  readonly #tokens = new Map<number, { readonly at: number; count: number }>();
  #isBanning: boolean;
  /** True if biases remain after the bans. */
  readonly #lasts: boolean;

  constructor(rules: TokenRuleOptions) {
    this.#rules = rules;
    this.#isBanning = rules.minTokens > 0;
    this.#lasts = hasBias({ ...rules, minTokens: 0 });
    for (const id of rules.logitBias.keys()) this.#update(id, 0);
    if (this.#isBanning) for (const id of rules.endTokenIds) this.#update(id, 0);
  }

  /** The biases of the token of that index; undefined if there are none. */
  at(sampleIndex: number): TokenBias | undefined {
    if (this.#isBanning && sampleIndex >= this.#rules.minTokens) {
      this.#isBanning = false;
      for (const id of this.#rules.endTokenIds) this.#update(id, 0);
    }
    return (this.#isBanning || this.#lasts) && this.ids.length > 0 ? this : undefined;
  }

  /** Counts a generated token. */
  accept(tokenId: number): void {
    const { presencePenalty, frequencyPenalty } = this.#rules;
    if (presencePenalty !== 0 || frequencyPenalty !== 0) this.#update(tokenId, 1);
  }

  #update(id: number, more: number): void {
    const token = this.#tokens.get(id) ?? { at: this.ids.length, count: 0 };
    this.#tokens.set(id, token);
    token.count += more;
    this.ids[token.at] = id;
    this.values[token.at] = this.#valueOf(id, token.count);
  }

  #valueOf(id: number, count: number): number {
    const { presencePenalty, frequencyPenalty, logitBias, endTokenIds } = this.#rules;
    if (this.#isBanning && endTokenIds.includes(id)) return Number.NEGATIVE_INFINITY;
    const penalty = count > 0 ? presencePenalty + frequencyPenalty * count : 0;
    return (logitBias.get(id) ?? 0) - penalty;
  }
}

/** Applies the rules of one output as its tokens come. */
export class TokenRules {
  /** True if the next token depends on all earlier ones, so that the host needs them before it records the next sample. */
  readonly needsTokens: boolean;
  readonly #bias: OutputBias;
  readonly #constraint: TokenConstraint | undefined;
  readonly #mask: Uint32Array;
  readonly #openingTokenId: number | undefined;

  constructor(rules: TokenRuleOptions) {
    const { presencePenalty, frequencyPenalty, constraint } = rules;
    this.needsTokens = presencePenalty !== 0 || frequencyPenalty !== 0 || constraint !== undefined;
    this.#bias = new OutputBias(rules);
    this.#constraint = constraint?.clone(); // a caller may use one constraint for several requests
    this.#mask = new Uint32Array(constraint ? maskWords(rules.vocabSize) : 0);
    this.#openingTokenId = rules.openingTokenId;
  }

  /** Returns a sampling row with the rules for its token. isReasoning: true inside the reasoning */
  applyTo(row: SamplingRow, isReasoning: boolean): SamplingRow {
    const bias = this.#bias.at(row.sampleIndex);
    return { ...row, bias, mask: isReasoning ? undefined : this.#fillMask(row.sampleIndex) };
  }

  #fillMask(sampleIndex: number): Uint32Array | undefined {
    if (!this.#constraint) return undefined;
    this.#constraint.fillMask(this.#mask);
    const opening = this.#openingTokenId;
    if (opening !== undefined && sampleIndex === 0) this.#mask[opening >>> 5] |= 1 << (opening & 31);
    return this.#mask;
  }

  /**
   * Takes a token that the model wrote. wasReasoning: true if it follows reasoning
   * @throws RequestError if the constraint refuses a token that its mask allowed
   */
  accept(tokenId: number, sampleIndex: number, wasReasoning: boolean): void {
    this.#bias.accept(tokenId);
    if (!this.#constraint || wasReasoning) return;
    if (sampleIndex === 0 && tokenId === this.#openingTokenId) return;
    if (!this.#constraint.accept(tokenId))
      throw new RequestError(
        `the constraint refused token ${tokenId}, which its own mask allowed; mend fillMask`,
      );
  }

  /** Counts a token that the engine wrote. */
  count(tokenId: number): void {
    this.#bias.accept(tokenId);
  }
}
