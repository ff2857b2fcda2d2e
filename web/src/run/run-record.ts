import type {
  AttentionObserver,
  EngineReport,
  GenerationPart,
  GenerationResult,
  PartKind,
  StepTrace,
} from "lessismore";
import { GrowingArray } from "./growing-array.ts";
import { overlapOf } from "./overlap.ts";
import type { KeptSelection } from "./selection-bytes.ts";
import { type ObservedSelections, SelectionLog } from "./selection-log.ts";
import { TokenTimes } from "./token-times.ts";

export interface RunRecordOptions {
  /** The prompt as the request has it; `engine.tokenizePrompt` gives it for messages. */
  readonly promptTokenIds: ArrayLike<number>;
  /** The text of one token, such as `(id) => engine.tokenizer.decode([id])`. Called once for each id. */
  readonly textOf: (tokenId: number) => string;
  /** The attention of the request as a spec, for people. */
  readonly attention: string;
  /** Of the engine that runs it: backend, adapter, memory. */
  readonly engine?: EngineReport;
  /** selection: what was attended, and the bytes read; reads: the bytes alone, which costs next to nothing. Default: selection. */
  readonly observes?: "selection" | "reads";
  /** Every n-th decode step is observed. Default 1. */
  readonly observeEvery?: number;
  /** Limit on the bytes of kept selections. Beyond it the record keeps every second step, then every fourth, … Default 32 MiB. */
  readonly maxSelectionBytes?: number;
  /** Milliseconds of a clock that does not run back. Default: performance.now. */
  readonly now?: () => number;
}

/** running: tokens may come; done: `finish` was called; failed: `fail` was called. */
export type RunState = "running" | "done" | "failed";

/** Where a token comes from. */
export type TokenOrigin = "prompt" | PartKind;

const ORIGINS: readonly TokenOrigin[] = ["prompt", "reasoning", "answer"];

/** The overlap of a selection layer's selections with those of the observed step before. */
export interface OverlapSeries {
  /** The layer that selects. */
  readonly layer: number;
  /** Position of each step, ascending. */
  readonly positions: GrowingArray<Uint32Array>;
  /** Jaccard index, mean over head groups. */
  readonly values: GrowingArray<Float32Array>;
}

const MAX_SELECTION_BYTES = 32 << 20;

/**
 * The record of one generation, for live views: tokens, times, and what was attended. The caller gives `observer` to the request,
 * and calls `add` for each part, then `finish` or `fail`.
 *
 * The token at position p is of the prompt, or the output's token p - promptLength. The decode step of position p feeds that
 * token, sees positions 0 to p, and gives the token at p + 1.
 */
export class RunRecord {
  /** Of the request. Without it the record has tokens and times, and knows nothing of attention. */
  readonly observer: AttentionObserver;
  readonly attention: string;
  readonly observes: "selection" | "reads";
  readonly engine: EngineReport | undefined;
  readonly promptLength: number;
  /** Times of the output's tokens. */
  readonly times: TokenTimes;
  /** Selections by position, compressed. */
  readonly selections: SelectionLog;
  /** By layer that selects, ascending. */
  readonly overlaps: OverlapSeries[] = [];
  readonly #textOf: (tokenId: number) => string;
  readonly #texts = new Map<number, string>();
  readonly #tokenIds = new GrowingArray(new Uint32Array(1024));
  readonly #origins = new GrowingArray(new Uint8Array(1024));
  /** By position: sets that had it. */
  readonly #attended = new GrowingArray(new Uint32Array(1024));
  /** By position: the last step's position that attended to it; -1 before. */
  readonly #lastAttended = new GrowingArray(new Int32Array(1024));
  /** By position: sets of the steps before it was cached. */
  readonly #setsBefore = new GrowingArray(new Uint32Array(1024));
  /** By selecting layer: the newest selection. */
  readonly #newest = new Map<number, readonly Uint32Array[]>();
  readonly #listeners = new Set<() => void>();
  #numSets = 0;
  #numObserved = 0;
  #lastObserved = -1;
  #ends = { sinks: 0, recent: 0 };
  #answerFrom: number | undefined;
  #readBytes = 0;
  #cachedBytes = 0;
  #state: RunState = "running";
  #error: string | undefined;
  #result: GenerationResult | undefined;
  #version = 0;

  /** Starts the clock: make the record right before the request. */
  constructor({
    promptTokenIds,
    textOf,
    attention,
    engine,
    observes = "selection",
    observeEvery = 1,
    maxSelectionBytes = MAX_SELECTION_BYTES,
    now = () => performance.now(),
  }: RunRecordOptions) {
    this.attention = attention;
    this.observes = observes;
    this.engine = engine;
    this.promptLength = promptTokenIds.length;
    this.#textOf = textOf;
    for (let i = 0; i < promptTokenIds.length; i++) this.#push(promptTokenIds[i] ?? 0, "prompt");
    this.times = new TokenTimes(now);
    this.selections = new SelectionLog(maxSelectionBytes);
    this.observer = {
      every: observeEvery,
      wants: observes === "selection" ? ["selection"] : [],
      onStep: (trace) => this.#observe(trace),
    };
  }

  /** Position of the answer's first token; undefined before it came. */
  get answerFrom(): number | undefined {
    return this.#answerFrom;
  }

  /** Tokens so far, those of the prompt included. */
  get length(): number {
    return this.#tokenIds.length;
  }

  get state(): RunState {
    return this.#state;
  }

  get error(): string | undefined {
    return this.#error;
  }

  get result(): GenerationResult | undefined {
    return this.#result;
  }

  /** Rises with every change. */
  get version(): number {
    return this.#version;
  }

  /** Sets of selections seen so far; one observed step may make several. */
  get numSets(): number {
    return this.#numSets;
  }

  /** Decode steps observed so far, dense ones included. */
  get numObserved(): number {
    return this.#numObserved;
  }

  /** Position of the newest observed step; -1 before the first. */
  get lastObserved(): number {
    return this.#lastObserved;
  }

  /** Always-kept tokens of the newest selection: the first `sinks` and the last `recent`. */
  get ends(): { readonly sinks: number; readonly recent: number } {
    return this.#ends;
  }

  /** Share of the cache that decoding has read: the result's, and before that of the observed steps. Undefined before any. */
  get attendedFraction(): number | undefined {
    if (this.#result) return this.#result.attention.attendedFraction;
    return this.#cachedBytes > 0 ? this.#readBytes / this.#cachedBytes : undefined;
  }

  /** Bytes of keys and values of the tokens so far; undefined without the engine's report. */
  get cacheBytes(): number | undefined {
    return this.engine && this.engine.model.kvBytesPerToken * this.length;
  }

  /** Bytes of memory that the record itself holds in arrays. */
  get sizeBytes(): number {
    const arrays = [
      ...[this.#tokenIds, this.#origins, this.#attended, this.#lastAttended, this.#setsBefore],
      ...this.overlaps.flatMap(({ positions, values }) => [positions, values]),
    ];
    return (
      arrays.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) +
      this.times.sizeBytes +
      this.selections.sizeBytes
    );
  }

  /** Undefined beyond the tokens so far. */
  tokenIdAt(position: number): number | undefined {
    const id = this.#tokenIds.at(position);
    return Number.isNaN(id) ? undefined : id;
  }

  /** Empty beyond the tokens so far. */
  textAt(position: number): string {
    const id = this.tokenIdAt(position);
    if (id === undefined) return "";
    const known = this.#texts.get(id);
    if (known !== undefined) return known;
    const text = this.#textOf(id);
    this.#texts.set(id, text);
    return text;
  }

  originAt(position: number): TokenOrigin | undefined {
    return ORIGINS[this.#origins.at(position)];
  }

  /** By position: the number of sets that had the token. */
  get attendedCounts(): Uint32Array {
    return this.#attended.view();
  }

  /** By position: the position of the last step that attended to it; -1: none did. */
  get lastAttended(): Int32Array {
    return this.#lastAttended.view();
  }

  /** By position: sets that came before the token was there, so that `attendedCounts / (numSets - setsBefore)` is its share. */
  get setsBefore(): Uint32Array {
    return this.#setsBefore.view();
  }

  /** Share of the sets since the token came that had it, 0 to 1; undefined if there was none. */
  shareAt(position: number): number | undefined {
    const possible = this.#numSets - this.#setsBefore.at(position);
    return possible > 0 ? this.#attended.at(position) / possible : undefined;
  }

  /** What the layers saw in the step of a position, or in the last kept one before it. */
  stepAt(position: number): ObservedSelections | undefined {
    return this.selections.at(position);
  }

  /** Starts the clock again, for a record that was made before its request. @throws TypeError after the first token */
  restartClock(): void {
    this.times.restart();
  }

  /** Takes a part of the generation, at the time of the call. */
  add(part: GenerationPart): void {
    for (const id of part.tokenIds) this.#push(id, part.kind);
    this.times.add(part.tokenIds.length);
    this.#changed();
  }

  /** Takes the result: the attended fraction is its own from then on. */
  finish(result: GenerationResult): void {
    // the token that ended the output is in no part
    for (let i = this.length - this.promptLength; i < result.tokenIds.length; i++)
      this.#push(result.tokenIds[i] ?? 0, "answer");
    this.#result = result;
    this.#state = "done";
    this.#changed();
  }

  /** Says why there will be no result: an abort, or an error. */
  fail(reason: string): void {
    this.#error = reason;
    this.#state = "failed";
    this.#changed();
  }

  /** Calls `listener` after every change, on the same thread; returns its end. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    this.#version++;
    for (const listener of this.#listeners) listener();
  }

  #push(id: number, origin: TokenOrigin): void {
    if (origin === "answer") this.#answerFrom ??= this.length;
    this.#tokenIds.push(id);
    this.#origins.push(ORIGINS.indexOf(origin));
  }

  #observe(trace: StepTrace): void {
    const position = trace.length - 1;
    this.#attended.fillTo(trace.length, 0);
    this.#lastAttended.fillTo(trace.length, -1);
    this.#setsBefore.fillTo(trace.length, this.#numSets);
    const distinct = distinctSelections(trace);
    for (const { sets, ends } of distinct) {
      for (const set of sets) this.#count(set, position);
      if (ends) this.#ends = ends;
    }
    this.#compare(trace, position);
    for (const { kvBytes } of trace.layers) this.#readBytes += kvBytes;
    this.#cachedBytes += trace.layerBytes * trace.layers.length;
    if (this.observes === "selection") this.selections.add(trace, distinct);
    this.#numObserved++;
    this.#lastObserved = position;
    this.#changed();
  }

  #count(set: Uint32Array, position: number): void {
    const [counts, last] = [this.#attended.view(), this.#lastAttended.view()];
    this.#numSets++;
    for (const token of set) {
      counts[token] = (counts[token] ?? 0) + 1;
      last[token] = position;
    }
  }

  /** Compares each selecting layer's selection with its last one. */
  #compare({ layers }: StepTrace, position: number): void {
    for (const { layer, role, selection } of layers) {
      if (!role.selects || !selection) continue;
      const before = this.#newest.get(layer);
      this.#newest.set(layer, selection);
      const overlap = before && overlapOf(before, selection);
      if (overlap === undefined) continue;
      const series = this.#series(layer);
      series.positions.push(position);
      series.values.push(overlap);
    }
  }

  #series(layer: number): OverlapSeries {
    const known = this.overlaps.find((series) => series.layer === layer);
    if (known) return known;
    const made: OverlapSeries = {
      layer,
      positions: new GrowingArray(new Uint32Array(256)),
      values: new GrowingArray(new Float32Array(256)),
    };
    this.overlaps.push(made);
    this.overlaps.sort((a, b) => a.layer - b.layer);
    return made;
  }
}

/** The selections of a trace, each once: layers that share one share its arrays. */
function distinctSelections({ layers }: StepTrace): KeptSelection[] {
  const distinct: KeptSelection[] = [];
  for (const { selection, mergeHeads, ends } of layers) {
    if (!selection || distinct.some(({ sets }) => sets === selection)) continue;
    distinct.push({ sets: selection, ...(mergeHeads && { heads: mergeHeads }), ...(ends && { ends }) });
  }
  return distinct;
}
