/** Constraints of the output: what a caller asks for, and what the sampler sees of it. */

/**
 * Tokens that may come next. It speaks of tokens alone, so that a caller may bring one of his own.
 */
export interface TokenConstraint {
  /**
   * Writes one bit for each token of the vocabulary, the lowest bit of word 0 first: 1 if the token may come next. Writes every word.
   * @throws RequestError if the constraint takes more work than its limit
   */
  fillMask(mask: Uint32Array): void;
  /** Takes a token. Returns false, and changes nothing, if the token was not allowed. @throws as `fillMask` */
  accept(tokenId: number): boolean;
  /** True if the output so far is whole; exactly then `fillMask` allows the end-of-sequence tokens. */
  readonly isComplete: boolean;
  /** An independent constraint in the same state. */
  clone(): TokenConstraint;
}

/**
 * What the output must be:
 * - `json`: a JSON object.
 * - `schema`: JSON that a JSON Schema accepts (`docs/structured-output.md` lists the keywords; the others are refused by name).
 * - `regex`: a text that matches an ECMAScript pattern from its first to its last character.
 * - `choice`: one of these texts.
 * - `sequence`: several of these, one behind the other, as the formats of tool calls need.
 */
export type ConstraintSpec =
  | { readonly json: true }
  | { readonly schema: object | boolean }
  | { readonly regex: string }
  | { readonly choice: readonly string[] }
  | { readonly sequence: readonly SequenceItem[] };

/**
 * A part of a sequence. `marker`: a text that the vocabulary has as one token, such as "<tool_call>"; without such a token, its
 * characters. `anyOf`: one of several sequences. `repeat`: a sequence one or more times.
 */
export type SequenceItem =
  | ConstraintSpec
  | { readonly text: string }
  | { readonly marker: string }
  | { readonly anyOf: readonly (readonly SequenceItem[])[] }
  | { readonly repeat: readonly SequenceItem[]; readonly between: readonly SequenceItem[] };
