/** What assembly/index.ts exports. All numbers are 32-bit; addresses are unsigned. A weight is its descriptor, 0 none. */
export interface WasmExports {
  scratchBytes(): number;
  startMain(): void;
  stop(): void;
  /** 1 where an f16 is Inf or NaN. */
  packRows(dtype: number, source: number, target: number, rows: number, cols: number): number;
  decodeVector(dtype: number, source: number, target: number, count: number): void;
  embed(table: number, x: number): void;
  attentionInput(
    layer: number,
    norm: number,
    q: number,
    k: number,
    v: number,
    qBias: number,
    kBias: number,
    vBias: number,
    qNorm: number,
    kNorm: number,
    x: number,
    query: number,
  ): void;
  attendAll(
    layer: number,
    first: number,
    count: number,
    query: number,
    output: number,
    scores: number,
    capacity: number,
  ): void;
  attendSelected(
    layer: number,
    first: number,
    count: number,
    query: number,
    indices: number,
    groups: number,
    capacity: number,
    counts: number,
    output: number,
  ): void;
  attentionOutput(o: number, bias: number, attended: number, x: number): void;
  feedForward(norm: number, gate: number, up: number, down: number, x: number): void;
  logits(norm: number, output: number, x: number, count: number, out: number): void;
  scores(layer: number, first: number, count: number, query: number, out: number, capacity: number): void;
  randomScores(
    layer: number,
    first: number,
    count: number,
    seed: number,
    out: number,
    sequenceStride: number,
  ): void;
  updateBounds(layer: number, first: number, count: number): void;
  pageScores(
    layer: number,
    first: number,
    count: number,
    query: number,
    out: number,
    capacity: number,
    unit: number,
  ): void;
  topK: RankExport;
  mergeByRank: RankExport;
  expandSelection(
    first: number,
    count: number,
    units: number,
    groups: number,
    capacity: number,
    unit: number,
    sinks: number,
    recent: number,
    unitCount: number,
    out: number,
    outCapacity: number,
    counts: number,
  ): void;
  /** Reads `bytes` (a multiple of 64 KiB) on all threads. */
  readAll(start: number, bytes: number, result: number): void;
  /** out = W · x for `rows` rows of x. */
  matmul(weight: number, x: number, rows: number, out: number): void;
}

type RankExport = (
  first: number,
  count: number,
  scores: number,
  heads: number,
  capacity: number,
  unit: number,
  sinks: number,
  recent: number,
  unitCount: number,
  out: number,
  outCapacity: number,
) => void;
