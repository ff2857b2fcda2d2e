import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { BYTE_LETTERS, byteToken } from "./bytes.ts";
import { type Fields, MAX_TOKEN_ID } from "./fields.ts";
import type { TokenModel } from "./token-model.ts";

/** An unknown character scores this much below the worst token. */
const UNKNOWN_PENALTY = 10;
const encoder = new TextEncoder();

interface Node {
  readonly children: Map<string, Node>;
  id: number;
}

/** SentencePiece's unigram model: finds the segmentation of a piece with the highest score (Viterbi). */
export class UnigramModel implements TokenModel {
  readonly kind = "Unigram";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #scores: Float64Array;
  readonly #root: Node = { children: new Map(), id: -1 };
  readonly #unknown: number | undefined;
  readonly #unknownScore: number;
  readonly #bytes: readonly (number | undefined)[] | undefined;

  constructor(fields: Fields) {
    const entries = fields.list("vocab", MAX_TOKEN_ID + 1);
    const vocabulary = new Map<string, number>();
    this.#scores = new Float64Array(entries.length);
    for (const [id, entry] of entries.entries()) {
      const [token, score]: unknown[] = Array.isArray(entry) ? entry : [];
      if (typeof token !== "string" || typeof score !== "number")
        throw new ModelFileError(
          `reading ${fields.place}: expected vocab[${id}] to be a token and a score, got ${printValue(entry)}`,
        );
      vocabulary.set(token, id);
      this.#scores[id] = score;
      this.#insert(token, id);
    }
    this.vocabulary = vocabulary;
    this.#unknown =
      fields.raw("unk_id") == null
        ? undefined
        : fields.count("unk_id", undefined, Math.max(0, entries.length - 1));
    this.#unknownScore =
      this.#scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) -
      UNKNOWN_PENALTY;
    if (fields.flag("byte_fallback", false))
      this.#bytes = BYTE_LETTERS.map((_, byte) => vocabulary.get(byteToken(byte)));
  }

  #insert(token: string, id: number): void {
    let node = this.#root;
    for (const point of token) {
      let child = node.children.get(point);
      if (!child) {
        child = { children: new Map(), id: -1 };
        node.children.set(point, child);
      }
      node = child;
    }
    if (node !== this.#root) node.id = id;
  }

  covers(point: string): boolean {
    return this.vocabulary.has(point) || this.#bytes?.every((id) => id !== undefined) === true;
  }

  encode(piece: string, ids: number[]): void {
    const points = Array.from(piece);
    const { best, from } = this.#search(points);
    const parts: string[] = [];
    const fused: string[] = []; // adjacent unknown characters form one part
    const flush = () => {
      if (fused.length > 0) parts.push(fused.reverse().join(""));
      fused.length = 0;
    };
    for (let end = points.length; end > 0; end = from[end] ?? 0) {
      const text = points.slice(from[end] ?? 0, end).join("");
      if (best[end] === this.#unknown) fused.push(text);
      else {
        flush();
        parts.push(text);
      }
    }
    flush();
    for (const part of parts.reverse()) this.#push(part, ids);
  }

  #push(part: string, ids: number[]): void {
    const id = this.vocabulary.get(part);
    if (id !== undefined) {
      ids.push(id);
      return;
    }
    const bytes = this.#bytes && Array.from(encoder.encode(part), (byte) => this.#bytes?.[byte]);
    if (bytes?.every((byte) => byte !== undefined)) for (const byte of bytes) ids.push(byte ?? 0);
    else if (this.#unknown !== undefined) ids.push(this.#unknown);
  }

  /** Returns, for each position, the last token of its best segmentation and that token's start. */
  #search(points: readonly string[]): { best: Int32Array; from: Int32Array } {
    const scores = new Float64Array(points.length + 1);
    const best = new Int32Array(points.length + 1).fill(-1);
    const from = new Int32Array(points.length + 1).fill(-1);
    const offer = (start: number, end: number, id: number, score: number) => {
      const total = score + (scores[start] ?? 0);
      if (from[end] !== -1 && !(total > (scores[end] ?? 0))) return;
      scores[end] = total;
      best[end] = id;
      from[end] = start;
    };
    for (let start = 0; start < points.length; start++) {
      let hasSingle = false;
      let node: Node | undefined = this.#root;
      for (let end = start; end < points.length; end++) {
        node = node.children.get(points[end] ?? "");
        if (!node) break;
        if (node.id < 0) continue;
        offer(start, end + 1, node.id, this.#scores[node.id] ?? 0);
        if (end === start) hasSingle = true;
      }
      if (!hasSingle) offer(start, start + 1, this.#unknown ?? -2, this.#unknownScore);
    }
    return { best, from };
  }
}
