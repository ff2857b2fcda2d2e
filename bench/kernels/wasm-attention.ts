/** Decode attention, dense and gathered, per row beside its floors, and prefill attention. */
import {
  addressOf,
  type Case,
  HEAD_DIM,
  HEADS,
  type KernelBench,
  KV_HEADS,
  LENGTH,
  MAX_ROWS,
} from "./kernel-bench.ts";
import { arithmeticCeiling, clockGigahertz } from "./machine-speed.ts";

const SELECTED = 1024;
const ROW_BYTES = 2 * KV_HEADS * HEAD_DIM * 4;
const ROW_MULTIPLY_ADDS = 2 * HEADS * HEAD_DIM;

/**
 * The laboratory's f32 kernel with the same heads, ns a row on one thread (cpu-kernels.md §3). Another machine: EPYC
 * Zen 4, whose clock was not measured; 3.7 GHz is what that part boosts to.
 */
const LABORATORY = { gigahertz: 3.7, nanoseconds: { 2048: 92.3, 8192: 96.4, 32768: 159.4 } } as const;

export function benchAttention(bench: KernelBench): void {
  const { backend } = bench;
  const [cache] = backend.cacheRegions;
  if (!cache) throw new TypeError("the backend has no cache");
  const start = cache.address / 4;
  for (let i = 0; i < cache.bytes / 4; i++) backend.arena.floats[start + i] = bench.unit() - 0.5;
  const range = { first: 0, count: 1 };
  const query = bench.vector(MAX_ROWS * HEADS * HEAD_DIM);
  const output = bench.vector(MAX_ROWS * HEADS * HEAD_DIM);
  const scores = { values: backend.createTensor("f32", [1, HEADS, LENGTH]), heads: HEADS, unit: 1 };
  const ceiling = arithmeticCeiling();
  const perRow = (name: string, length: number, rows: number, run: () => void): Case => ({
    name,
    unit: "ns/row",
    prepare: () => bench.begin(length, 1),
    run,
    value: (ms) => (ms * 1e6) / rows,
    floor: (threads) => ROW_MULTIPLY_ADDS / ceiling / threads,
  });
  const lengths = [2048, 8192, 32768] as const;
  const out = addressOf(output);
  bench.alternate(15, [
    ...lengths.map((length) =>
      perRow(`dense ${length}`, length, length, () => backend.attendAll(0, range, query, output)),
    ),
    perRow(`dense ${LENGTH} + scores`, LENGTH, LENGTH, () =>
      backend.attendAll(0, range, query, output, scores),
    ),
    perRow(`gather ${SELECTED} of ${LENGTH}`, LENGTH, SELECTED, gather(bench, range, query, output)),
    {
      name: `plain read of ${LENGTH} rows`,
      unit: "ns/row",
      run: () => backend.kernels.readAll(start * 4, LENGTH * ROW_BYTES, out),
      value: (ms) => (ms * 1e6) / LENGTH,
    },
  ]);
  compare(bench, lengths);
  benchPrefill(bench, () => backend.attendAll(0, range, query, output), ceiling);
}

function gather(
  bench: KernelBench,
  range: { first: number; count: number },
  query: ReturnType<KernelBench["vector"]>,
  output: ReturnType<KernelBench["vector"]>,
): () => void {
  const { backend } = bench;
  const indices = backend.createTensor("u32", [1, 1, SELECTED]);
  const counts = backend.createTensor("u32", [1]);
  const every = LENGTH / SELECTED;
  backend.write(
    indices,
    Uint32Array.from({ length: SELECTED }, (_, i) => i * every + Math.floor(bench.unit() * every)),
  );
  backend.write(counts, Uint32Array.of(SELECTED));
  return () => backend.attendSelected(0, range, query, { indices, counts, headGroups: 1 }, output);
}

function compare(bench: KernelBench, lengths: readonly (keyof typeof LABORATORY.nanoseconds)[]): void {
  const gigahertz = clockGigahertz();
  bench.figures.push({ name: "clock, measured", threads: 1, value: gigahertz, unit: "GHz" });
  for (const length of lengths) {
    const cycles = bench.figure(`dense ${length}`, 1) * gigahertz;
    const laboratory = LABORATORY.nanoseconds[length] * LABORATORY.gigahertz;
    bench.figures.push({ name: `dense ${length}`, threads: 1, value: cycles, unit: "cycles/row" });
    const target = length === LENGTH ? "at most 1.3" : undefined;
    bench.ratio(`dense ${length} over laboratory, cycles`, 1, cycles / laboratory, target);
  }
  for (const threads of bench.threadCounts) {
    const gathered = bench.figure(`gather ${SELECTED} of ${LENGTH}`, threads);
    const read = bench.figure(`plain read of ${LENGTH} rows`, threads);
    for (const length of [2048, LENGTH])
      bench.ratio(
        `gather ${SELECTED} of ${LENGTH} over dense ${length}, a row`,
        threads,
        gathered / bench.figure(`dense ${length}`, threads),
        "at most 1.4",
      );
    const dense = bench.figure(`dense ${LENGTH}`, threads);
    bench.ratio(`plain read over dense ${LENGTH}, a row`, threads, read / dense);
  }
}

function benchPrefill(bench: KernelBench, run: () => void, ceiling: number): void {
  const lengths = [MAX_ROWS, 2048, 8192];
  bench.alternate(
    9,
    lengths.map((length): Case => {
      const multiplyAdds = ROW_MULTIPLY_ADDS * MAX_ROWS * (length - (MAX_ROWS - 1) / 2);
      return {
        name: `prefill attention, ${MAX_ROWS} rows at ${length}`,
        unit: "GMAC/s",
        prepare: () => bench.begin(length, MAX_ROWS),
        run,
        value: (ms) => multiplyAdds / ms / 1e6,
        floor: (threads) => ceiling * threads,
      };
    }),
  );
}
