/** Matrix kernels beside a plain read where they stream weights, beside the arithmetic ceiling where they do not. */
import type { WasmWeight } from "../../src/node/internal.ts";
import { addressOf, type Case, type KernelBench, MAX_ROWS } from "./kernel-bench.ts";
import { arithmeticCeiling } from "./machine-speed.ts";

export const SIZE = 4096;
const MATRICES = 12;

/** 12 matrices of 4096 × 4096, more than caches hold. Calls take them in turn. */
export function benchMatvec(bench: KernelBench): void {
  const { kernels } = bench.backend;
  const x = addressOf(bench.vector(SIZE));
  const out = addressOf(bench.vector(SIZE));
  const cases = (["f32", "bf16"] as const).flatMap((dtype) => {
    const matrices = Array.from({ length: MATRICES }, () => bench.weight(dtype, SIZE, SIZE));
    const bytes = SIZE * SIZE * (dtype === "f32" ? 4 : 2);
    const rate = (name: string, first: number, run: (matrix: WasmWeight) => void): Case => {
      let turn = first;
      return {
        name,
        unit: "GB/s",
        run: () => run(matrices[turn++ % MATRICES]),
        value: (ms) => bytes / ms / 1e6,
      };
    };
    // half of the matrices apart, so that neither finds the other's matrix in cache
    return [
      rate(`plain read of the ${dtype}`, 0, ({ address }) => kernels.readAll(address, bytes, out)),
      rate(`matvec ${dtype}`, MATRICES / 2, ({ descriptor }) => kernels.matmul(descriptor, x, 1, out)),
    ];
  });
  bench.alternate(3 * MATRICES, cases);
  for (const threads of bench.threadCounts)
    for (const dtype of ["f32", "bf16"]) {
      const share =
        bench.figure(`matvec ${dtype}`, threads) / bench.figure(`plain read of the ${dtype}`, threads);
      bench.ratio(`matvec ${dtype} over plain read`, threads, share, "at least 0.70");
    }
}

/** The matrices of SmolLM2-135M by name, with as many copies as exceed the caches. */
const REAL_SHAPES = {
  "q, o": [576, 576],
  "gate, up": [1536, 576],
  down: [576, 1536],
  output: [49152, 576],
} as const;
const REAL_BYTES = 96 << 20;

/** Decode products at the sizes of a real model, with 16-bit and f32 weights, beside a plain read of as many bytes. */
export function benchRealShapes(bench: KernelBench): void {
  const { kernels } = bench.backend;
  const x = addressOf(bench.vector(1536));
  const out = addressOf(bench.vector(49152));
  for (const dtype of ["bf16", "f16", "f32"] as const) {
    const bytes = dtype === "f32" ? 4 : 2;
    const cases = Object.entries(REAL_SHAPES).map(([name, [rows, cols]]): Case => {
      const count = Math.ceil(REAL_BYTES / (bytes * rows * cols));
      const matrices = Array.from({ length: count }, () => bench.weight(dtype, rows, cols));
      let turn = 0;
      return {
        name: `matvec ${dtype} ${rows}×${cols} (${name})`,
        unit: "GB/s",
        run: () => kernels.matmul(matrices[turn++ % count]?.descriptor ?? 0, x, 1, out),
        value: (ms) => (bytes * rows * cols) / ms / 1e6,
      };
    });
    const [first] = cases;
    if (!first) continue;
    const blocks = bench.weight(dtype, 4096, REAL_BYTES / 4096 / bytes);
    const slice = 4 << 20;
    let slices = 0;
    const read: Case = {
      name: `plain read beside ${dtype}`,
      unit: "GB/s",
      run: () => kernels.readAll(blocks.address + (slices++ % (REAL_BYTES / slice)) * slice, slice, out),
      value: (ms) => slice / ms / 1e6,
    };
    bench.alternate(15, [read, ...cases]);
    for (const threads of bench.threadCounts)
      for (const { name } of cases) {
        const share = bench.figure(name, threads) / bench.figure(read.name, threads);
        bench.ratio(`${name} over plain read`, threads, share);
      }
  }
}

/** Weights that stay in cache show the gain of a second thread and the cost of fork and join. */
export function benchCached(bench: KernelBench): void {
  const { kernels } = bench.backend;
  const x = addressOf(bench.vector(1024));
  const out = addressOf(bench.vector(1024));
  const sizes = [256, 512, 1024];
  const ceiling = arithmeticCeiling();
  const cases = sizes.map((size): Case => {
    const { descriptor } = bench.weight("bf16", size, size);
    return {
      name: `matvec bf16 ${size}², cached`,
      unit: "µs",
      run: () => {
        for (let i = 0; i < 16; i++) kernels.matmul(descriptor, x, 1, out);
      },
      value: (ms) => (ms * 1000) / 16,
      floor: (threads) => (size * size) / ceiling / threads / 1000,
    };
  });
  bench.alternate(21, cases);
  if (bench.threads === 1) return;
  for (const { name } of cases) {
    const gain = bench.figure(name, 1) / bench.figure(name, bench.threads);
    bench.ratio(`${name}: speed over one thread`, bench.threads, gain, "at least 1.7 for two threads");
  }
}

export function benchGemm(bench: KernelBench): void {
  const { kernels } = bench.backend;
  const x = addressOf(bench.vector(MAX_ROWS * 2048));
  const out = addressOf(bench.vector(MAX_ROWS * 2048));
  const ceiling = arithmeticCeiling();
  const shapes = [
    [640, 256],
    [2048, 768],
    [768, 2048],
  ] as const;
  const cases = (["f32", "bf16"] as const).flatMap((dtype) =>
    shapes.map(([rows, cols]): Case => {
      const { descriptor } = bench.weight(dtype, rows, cols);
      return {
        name: `gemm ${dtype} ${rows}×${cols}, ${MAX_ROWS} rows`,
        unit: "GMAC/s",
        run: () => kernels.matmul(descriptor, x, MAX_ROWS, out),
        value: (ms) => (rows * cols * MAX_ROWS) / ms / 1e6,
        floor: (threads) => ceiling * threads,
      };
    }),
  );
  bench.alternate(9, cases);
}
