/** A decoder's state over one stream of tokens. */
export interface DecodeStep {
  /** Takes a token and returns the output that no later token can change: tokens, or pieces of one text once fused. */
  push(token: string): readonly string[];
  /** Returns the output held back. */
  end(): readonly string[];
}

export interface Decoder {
  /** True if the decoder joins the tokens to one text, which it outputs in pieces. */
  readonly fuses: boolean;
  /** Starts a stream. isFused: an earlier decoder has fused the tokens, so `push` takes pieces of one text. */
  open(isFused: boolean): DecodeStep;
}
