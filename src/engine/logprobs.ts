/** Logarithms of the probabilities that the model gives to tokens. */

import type { Backend } from "../backend/backend.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { DecodeStream } from "../load/tokenizer.ts";
import type { TokenAlternative, TokenLogprob } from "./request.ts";

/** A token and the best tokens in its place, by their ids. */
export interface RankedLogprob {
  readonly logprob: number;
  /** The best first; ties to the lower id. */
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** Of a token that the engine wrote, whatever the model would have written. */
export const FORCED: RankedLogprob = { logprob: 0, top: [] };

/**
 * Returns the natural logarithm of a token's probability by softmax, and those of the `count` best tokens.
 * logits: f32 [vocabSize], as the model gives them; sums are f64
 */
export function rankLogprobs(logits: Float32Array, tokenId: number, count: number): RankedLogprob {
  const best: number[] = [];
  let largest = Number.NEGATIVE_INFINITY;
  let least = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id];
    if (logit > largest) largest = logit;
    if (best.length < count || logit > least) least = insert(best, logits, id, count);
  }
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id] - largest);
  const normal = largest + Math.log(sum);
  return { logprob: logits[tokenId] - normal, top: best.map((id) => ({ id, logprob: logits[id] - normal })) };
}

/** Inserts an id, larger than those before, into the best `count`, best first. Returns the logit of the last if all places are taken. */
function insert(best: number[], logits: Float32Array, id: number, count: number): number {
  if (count === 0) return Number.POSITIVE_INFINITY;
  let at = best.length;
  while (at > 0 && logits[best[at - 1]] < logits[id]) at--;
  best.splice(at, 0, id);
  if (best.length > count) best.pop();
  return best.length < count ? Number.NEGATIVE_INFINITY : logits[best[count - 1]];
}

/** A tokenizer that can tell single tokens. */
interface TokenSource {
  decodeStream(): DecodeStream;
  /** Tokens as bytes of the output, if they do not depend on the tokens around them. */
  outputBytes?(): { bytes(id: number, isFirst: boolean): Uint8Array | undefined } | undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Texts and bytes of single tokens. */
export class TokenTexts {
  readonly #tokenizer: TokenSource;
  #bytes: ReturnType<NonNullable<TokenSource["outputBytes"]>>;

  constructor(tokenizer: TokenSource) {
    this.#tokenizer = tokenizer;
  }

  describe(tokenId: number, { logprob, top }: RankedLogprob): TokenLogprob {
    return {
      ...this.#alternative(tokenId, logprob),
      top: top.map((one) => this.#alternative(one.id, one.logprob)),
    };
  }

  #alternative(id: number, logprob: number): TokenAlternative {
    this.#bytes ??= this.#tokenizer.outputBytes?.();
    const bytes = this.#bytes?.bytes(id, false);
    if (bytes) return { id, text: decoder.decode(bytes), bytes: [...bytes], logprob };
    const stream = this.#tokenizer.decodeStream();
    const text = stream.push(id) + stream.end();
    return { id, text, bytes: [...encoder.encode(text)], logprob };
  }
}

/** Logits of rows on their way to the host. */
export interface LogitsInFlight {
  /** Resolves when `of` may be called. */
  readonly arrived: Promise<void>;
  /** Returns the logits of a row: f32 [vocabSize], valid until `release`; undefined for a row that was not asked for. */
  of(row: number): Float32Array | undefined;
  release(): void;
}

/** Reads logits before samples change them. It keeps its arrays. */
export class LogitReads {
  readonly #backend: Backend;
  readonly #free: Float32Array[] = [];

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** logits: f32 [>= rows, vocabSize] */
  start(logits: TensorRef, rows: readonly number[]): LogitsInFlight {
    const { vocabSize } = this.#backend.model;
    const readback = this.#backend.readback();
    const read = new Map<number, Float32Array>();
    for (const row of rows) {
      const out = this.#free.pop() ?? new Float32Array(vocabSize);
      readback.add(logits, row * vocabSize, out);
      read.set(row, out);
    }
    const arrived = readback.arrive();
    arrived.catch(() => {}); // awaited with the tokens, which may fail first
    return {
      arrived,
      of: (row) => read.get(row),
      release: () => {
        this.#free.push(...read.values());
        read.clear();
      },
    };
  }
}
