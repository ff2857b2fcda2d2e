/** One step over one stream. */
export interface DecodeStep {
  /** What is certain after one more token: tokens, or, after a step that fuses, further pieces of one text. */
  push(token: string): readonly string[];
  /** What was held back. */
  end(): readonly string[];
}

export interface Decoder {
  /** The tokens become one text, which comes in pieces. */
  readonly fuses: boolean;
  /** A fresh stream. isFused: the tokens that come are pieces of one text. */
  open(isFused: boolean): DecodeStep;
}
