/** Exact top-k and the union by rank, for three distributions of scores. */
import { type Case, HEADS, type KernelBench, LENGTH } from "./kernel-bench.ts";

const COUNT = 768;

export function benchSelection(bench: KernelBench): void {
  const { backend } = bench;
  bench.begin(LENGTH, 1);
  const range = { first: 0, count: 1 };
  const ends = { sinks: 4, recent: 252 };
  const units = {
    units: backend.createTensor("u32", [1, HEADS, COUNT]),
    headGroups: HEADS,
    count: COUNT,
    unit: 1,
  };
  const merged = { units: backend.createTensor("u32", [1, 1, COUNT]), headGroups: 1, count: COUNT, unit: 1 };
  const base = Float32Array.from({ length: LENGTH }, () => bench.gauss());
  const kinds = {
    gaussian: () => bench.gauss(),
    correlated: (i: number) => base[i] + 0.3 * bench.gauss(),
    spiky: () => (bench.unit() < 0.01 ? 10 + bench.gauss() : -5 + 1e-3 * bench.gauss()),
  };
  const cases = Object.entries(kinds).flatMap(([kind, draw]): Case[] => {
    const values = backend.createTensor("f32", [1, HEADS, LENGTH]);
    backend.write(
      values,
      Float32Array.from({ length: HEADS * LENGTH }, (_, i) => draw(i % LENGTH)),
    );
    const scores = { values, heads: HEADS, unit: 1 };
    const value = (ms: number) => (ms * 1000) / HEADS;
    return [
      {
        name: `topK ${COUNT} of ${LENGTH}, ${kind}`,
        unit: "µs/head",
        run: () => backend.topK(range, scores, ends, units),
        value,
      },
      {
        name: `mergeByRank ${COUNT} of ${LENGTH}, ${kind}`,
        unit: "µs/head",
        run: () => backend.mergeByRank(range, scores, ends, merged),
        value,
      },
    ];
  });
  bench.alternate(15, cases);
  bench.figures.forEach((figure, i) => {
    if (figure.name.startsWith("topK") && figure.threads === 1)
      bench.figures[i] = { ...figure, target: "at most 40" };
  });
}
