/** What rounding to f16 does to the golden checkpoints, as test/golden/make-f16-rounding.py measured it in `transformers`. */

/** Errors of logits, as shares of the largest. */
interface Rounded {
  /** With numbers rounded to the nearest. */
  readonly nearest: number;
  /** The largest of many trials with numbers rounded up or down at random. */
  readonly largest: number;
}

/** Numbers that are rounded: keys and values alone, or the factors of every product as well. */
export type RoundedNumbers = "cache" | "products";

/** The content of test/golden/f16-rounding.json, by checkpoint. */
export type F16Rounding = Readonly<Record<string, Readonly<Record<RoundedNumbers, Rounded>>>>;

/** @throws Error if the checkpoint was not measured. */
export function roundingOf(all: F16Rounding, checkpoint: string): F16Rounding[string] {
  const found = all[checkpoint];
  if (!found)
    throw new Error(
      `test/golden/f16-rounding.json has no ${checkpoint}; run python test/golden/make-f16-rounding.py`,
    );
  return found;
}

/**
 * The most that logits of a right backend with an f16 cache differ from the reference's, as a share of what that rounding does to them
 * (`nearest`). A number beside the middle between two of f16 may become the other one; seen: 0.14 at most. Rounding anything else moves
 * logits by about 1.
 */
export const OTHER_ROUNDING_SHARE = 0.5;
