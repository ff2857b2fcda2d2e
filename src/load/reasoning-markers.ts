/** The markers between which a model writes its reasoning. */
import type { Tokenizer } from "./tokenizer.ts";

/** Two texts; neither contains the other. */
export interface ReasoningMarkers {
  readonly open: string;
  readonly close: string;
}

/** Markers of models that name no others: Qwen3, DeepSeek-R1, SmolLM3, Phi-4-mini-reasoning. */
export const THINK_TAGS: ReasoningMarkers = { open: "<think>", close: "</think>" };

/** Known pairs. The first wins a tie. */
const PAIRS: readonly ReasoningMarkers[] = [
  THINK_TAGS,
  { open: "[THINK]", close: "[/THINK]" }, // Magistral since 2507 and Ministral 3, as tokens of Mistral's vocabulary
];

/**
 * Finds the markers of a model. A pair that a chat template names wins over one that only the vocabulary has: a model may be
 * trained on other markers than its vocabulary reserves. Of several pairs that a template names, the vocabulary's wins.
 * tokenizer: undefined for a model without text. templates: the texts of its chat templates
 */
export function findReasoningMarkers(
  tokenizer: Pick<Tokenizer, "tokenId"> | undefined,
  templates: readonly string[],
): ReasoningMarkers {
  const rankOf = ({ open, close }: ReasoningMarkers) => {
    const isNamed = templates.some((text) => text.includes(open) || text.includes(close));
    const areTokens = tokenizer?.tokenId(open) !== undefined && tokenizer.tokenId(close) !== undefined;
    return (isNamed ? 2 : 0) + (areTokens ? 1 : 0);
  };
  return PAIRS.reduce((best, pair) => (rankOf(pair) > rankOf(best) ? pair : best));
}
