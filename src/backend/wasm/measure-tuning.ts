import { plainShape } from "../plain-shape.ts";
/**
 * Measures the choices for the processor: runs the kernels themselves over more memory than caches hold. Variants alternate
 * and are compared by their lower quartile, because a busy neighbour inflates the upper samples and lucky addresses deflate
 * the least. The default wins unless another variant is clearly better, so that a wrong choice costs little.
 */

import { BackendError } from "../../base/errors.ts";
import { formatCode, rowBytes, type WeightFormat } from "../../base/weight-format.ts";
import { yieldToEventLoop } from "../../base/yield.ts";
import type { Capacity, ModelShape } from "../backend.ts";
import { DESCRIPTOR_WORDS } from "./assembly/layout.ts";
import { DEFAULT_TUNING, type MeasuredTuning, type Tuning, WEIGHT_KINDS } from "./tuning.ts";
import type { WasmBackend } from "./wasm-backend.ts";

/** Limit of the whole measurement; choices not measured by then keep their default. */
const LIMIT_MS = 420;
/** Limit of one race, which never takes more than its share of the time left. */
const RACE_MS = 50;
/** Share of a race's time for its final. */
const FINAL_SHARE = 0.25;
const MIN_ROUNDS = 4;
const WARM_MS = 10;
/** A variant replaces the default only below this share of its time. */
const CLEARLY_BETTER = 0.97;
/** The share for fewer threads: a neighbour who leaves gives a core back. */
const FEWER_THREADS_BETTER = 0.88;

/** Widths of small models, which are no powers of two. */
const HIDDEN = 896;
const INTERMEDIATE = 1152;
const LAYERS = 64;
const TOKENS = 2048;
/** Keys and values of all layers: several times the size of caches, or part of it stays in them. */
export const DATA_BYTES = 128 << 20;

/** A small model whose keys and values fill DATA_BYTES; the same bytes serve as weights. */
export const TUNING_MODEL: ModelShape = plainShape({
  ...{ numLayers: LAYERS, hiddenSize: HIDDEN, intermediateSize: INTERMEDIATE },
  ...{ numQueryHeads: 6, numKvHeads: 2, headDim: 64, vocabSize: 1024, rmsNormEps: 1e-6 },
});
export const TUNING_CAPACITY: Capacity = {
  ...{ pageSize: 16, maxPages: TOKENS / 16, maxSequenceLength: TOKENS },
  ...{ maxBatchRows: 1, maxBatchSequences: 1 },
};

/** Layers of cache that a sample reads. */
const LAYERS_PER_SAMPLE = 2;
/** Bits of a number above 0 and far below 1 in f32, bf16 and f16. */
const FILLING = 0x3c003c00;

type Variant = Partial<Tuning>;

/** Measures on a backend of `TUNING_MODEL`, whose threads have all started. */
export async function measureTuning(backend: WasmBackend): Promise<MeasuredTuning> {
  return new TuningBench(backend).measure();
}

class TuningBench {
  readonly #backend: WasmBackend;
  readonly #started = performance.now();
  readonly #threads: number;
  readonly #data: number;
  readonly #x: number;
  readonly #out: number;
  readonly #norm: number;
  #tuning: Tuning = DEFAULT_TUNING;
  #turn = 0;
  #racesLeft = 0;

  constructor(backend: WasmBackend) {
    const { arena } = backend;
    this.#backend = backend;
    this.#threads = backend.report().threads;
    const [cache] = backend.cacheRegions;
    if (cache === undefined || cache.bytes < DATA_BYTES)
      throw new BackendError(`measuring expects ${DATA_BYTES} bytes of cache, got ${cache?.bytes ?? 0}`);
    this.#data = cache.address;
    this.#x = arena.allocate(4 * HIDDEN, "measuring");
    this.#out = arena.allocate(4 * HIDDEN, "measuring");
    this.#norm = this.#descriptor("f32", 1, HIDDEN, this.#data);
    arena.integers.fill(FILLING, this.#data / 4, (this.#data + DATA_BYTES) / 4);
    arena.integers.fill(FILLING, this.#x / 4, this.#x / 4 + HIDDEN);
    this.#beginStep();
  }

  async measure(): Promise<MeasuredTuning> {
    const races: readonly (() => void)[] = [
      ...WEIGHT_KINDS.map((kind) => () => this.#measureWeights(kind)),
      () => this.#measureAttention(),
      ...(this.#threads > 1
        ? [() => this.#measureThreads(), () => this.#measureSolo(), () => this.#measureSpin()]
        : []),
    ];
    this.#racesLeft = races.length;
    for (const race of races) {
      if (this.#isLate()) break;
      race();
      this.#racesLeft--;
      await yieldToEventLoop(); // lets other work of the thread run in between
    }
    const elapsedMs = performance.now() - this.#started;
    const isWhole = this.#racesLeft === 0 && !this.#isLate();
    const unfinished = {
      unfinished: `the measurement did not finish in ${LIMIT_MS} ms: the machine is busy`,
    };
    return { tuning: this.#tuning, elapsedMs, ...(!isWhole && unfinished) };
  }

  #isLate(): boolean {
    return performance.now() - this.#started > LIMIT_MS;
  }

  /** Streams weights of one kind, on all threads. */
  #measureWeights({ format, ahead, item }: (typeof WEIGHT_KINDS)[number]): void {
    const sizes = this.#threads > 1 ? [1 << 17, 1 << 19, 1 << 15] : [1 << 17];
    const variants = sizes.flatMap((size) => [0, 1024].map((far) => ({ [ahead]: far, [item]: size })));
    this.#race(variants, this.#streaming(format), CLEARLY_BETTER);
  }

  #measureAttention(): void {
    const { kernels, arena } = this.#backend;
    const bytes = 4 * TUNING_MODEL.numQueryHeads * TUNING_MODEL.headDim;
    const query = arena.allocate(bytes, "measuring");
    const output = arena.allocate(bytes, "measuring");
    const variants = [
      ...[1, 0].flatMap((attendSpan) => [
        { attendSpan, attendTouch: 1, attendBlock: 4096 },
        { attendSpan, attendTouch: 1, attendBlock: 8192 },
        { attendSpan, attendTouch: 0, attendBlock: 1 << 16 },
      ]),
      { attendSpan: 1, attendTouch: 1, attendBlock: 1 << 16 },
    ];
    this.#race(
      variants,
      () => {
        for (let i = 0; i < LAYERS_PER_SAMPLE; i++)
          kernels.attendAll(this.#turn++ % LAYERS, 0, 1, query, output, 0, 0, 0);
      },
      CLEARLY_BETTER,
    );
  }

  /** The number of threads that reads memory fastest. */
  #measureThreads(): void {
    const counts = [this.#threads];
    for (let count = this.#threads / 2; count >= 1; count /= 2) counts.push(Math.floor(count));
    const variants = counts.map((streamThreads) => ({ streamThreads }));
    this.#race(variants, this.#streaming("bf16"), FEWER_THREADS_BETTER);
  }

  /** The size from which on a product in cache is faster on all threads. */
  #measureSolo(): void {
    for (const bytes of [1 << 14, 1 << 15, 1 << 16]) {
      const descriptor = this.#descriptor("bf16", bytes / rowBytes("bf16", 256), 256, this.#data);
      const run = () => {
        for (let i = 0; i < 24; i++) this.#backend.kernels.matmul(descriptor, this.#x, 1, this.#out);
      };
      const together = { soloBytes: 0 };
      const alone = { soloBytes: bytes + 1 };
      this.#choose({ soloBytes: bytes });
      if (this.#fastest([together, alone], run, { ms: 3, clearly: 1 }) === 0) return;
      this.#choose({ soloBytes: bytes * 2 });
    }
  }

  /** Spinning pays for about as long as waking a thread takes; 4 times that, because latency matters more here. */
  #measureSpin(): void {
    const { kernels } = this.#backend;
    const job = () => kernels.readAll(this.#data, 1 << 17, this.#out);
    const asleep: number[] = [];
    const awake: number[] = [];
    for (let i = 0; i < 5; i++) {
      const until = performance.now() + (3 * DEFAULT_TUNING.spinMicroseconds) / 1000;
      while (performance.now() < until);
      asleep.push(timeOf(job));
      awake.push(timeOf(job));
    }
    const wakeMs = Math.max(0, median(asleep) - median(awake));
    const spin = Math.round(Math.min(1000, Math.max(100, 4000 * wakeMs)) / 50) * 50;
    this.#choose({ spinMicroseconds: spin });
  }

  /** Runs a feed-forward, each call on other weights than the last. */
  #streaming(format: WeightFormat): () => void {
    const matrixBytes = HIDDEN * rowBytes(format, INTERMEDIATE);
    const layers = Array.from({ length: Math.floor(DATA_BYTES / (3 * matrixBytes)) }, (_, i) => {
      const at = this.#data + 3 * i * matrixBytes;
      return {
        gate: this.#descriptor(format, INTERMEDIATE, HIDDEN, at),
        up: this.#descriptor(format, INTERMEDIATE, HIDDEN, at + matrixBytes),
        down: this.#descriptor(format, HIDDEN, INTERMEDIATE, at + 2 * matrixBytes),
      };
    });
    return () => {
      const layer = layers[this.#turn++ % layers.length];
      if (layer) this.#backend.kernels.feedForward(this.#norm, layer.gate, layer.up, layer.down, this.#x, 0);
    };
  }

  #descriptor(format: WeightFormat, rows: number, cols: number, address: number): number {
    const { arena } = this.#backend;
    const descriptor = arena.allocate(4 * DESCRIPTOR_WORDS, "measuring");
    arena.integers.set([address, rows, cols, formatCode(format)], descriptor / 4);
    return descriptor;
  }

  /**
   * Alternates the variants and takes the best; the first is the default. The best must win a final against the default
   * alone: with a busy neighbour, one of many variants is lucky.
   */
  #race(variants: readonly Variant[], run: () => void, clearly: number): void {
    const [first = {}] = variants;
    this.#warm(first, run);
    const left = (this.#started + LIMIT_MS - performance.now()) / Math.max(1, this.#racesLeft);
    const ms = Math.min(RACE_MS, left);
    const best = variants[this.#fastest(variants, run, { ms: ms * (1 - FINAL_SHARE), clearly })] ?? first;
    const isBetter =
      best !== first && this.#fastest([first, best], run, { ms: ms * FINAL_SHARE, clearly }) === 1;
    this.#choose(isBetter ? best : first);
  }

  /** Runs kernels until the JavaScript engine has optimised them. */
  #warm(variant: Variant, run: () => void): void {
    this.#apply(variant);
    const end = performance.now() + WARM_MS;
    while (performance.now() < end) run();
  }

  /** Index of the fastest variant; 0 if none is clearly better than the first. */
  #fastest(
    variants: readonly Variant[],
    run: () => void,
    { ms, clearly }: { readonly ms: number; readonly clearly: number },
  ): number {
    const samples = variants.map((): number[] => []);
    const end = performance.now() + ms;
    for (let round = 0; round < MIN_ROUNDS || performance.now() < end; round++)
      for (const [i, variant] of variants.entries()) {
        if (this.#isLate()) return 0;
        this.#apply(variant);
        samples[i]?.push(timeOf(run));
      }
    const times = samples.map(lowerQuartile);
    const best = times.indexOf(Math.min(...times));
    return (times[best] ?? 0) < (times[0] ?? 0) * clearly ? best : 0;
  }

  #choose(variant: Variant): void {
    this.#tuning = { ...this.#tuning, ...variant };
    this.#apply({});
  }

  #apply(variant: Variant): void {
    this.#backend.tune({ ...this.#tuning, ...variant });
  }

  #beginStep(): void {
    const pages = TUNING_CAPACITY.maxPages;
    this.#backend.beginStep({
      ...{ numRows: 1, numSequences: 1, tokenIds: new Uint32Array(1), slots: new Uint32Array(1) },
      ...{ rope: new Float32Array(TUNING_MODEL.headDim), firstRows: new Uint32Array(1) },
      ...{ rowCounts: Uint32Array.of(1), lengths: Uint32Array.of(TOKENS), maxPagesPerSequence: pages },
      validBounds: Uint32Array.of(TOKENS - 1),
      pageTables: Uint32Array.from({ length: pages }, (_, page) => page),
    });
  }
}

function timeOf(run: () => void): number {
  const started = performance.now();
  run();
  return performance.now() - started;
}

function lowerQuartile(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 4)] ?? 0;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
