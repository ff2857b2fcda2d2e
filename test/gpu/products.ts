/** Products of a layer's weights with one row to a whole chunk, against f64. Errors are NMSE of the worst row. */
import { matvec, rmsNorm, silu } from "../conformance/brute-force.ts";
import { makeWeight, nmse, Trial } from "../conformance/trial.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { F32_NMSE, type GpuRun, SUBGROUP_MATRIX_NMSE } from "./gpu.ts";

/** Rows for matrix-vector products, for the few of a decode batch, for tiles that are not full, for a whole chunk. */
const ROWS = [1, 4, 5, 8, 33, 64, 300, 1024];
const QUICK_ROWS = [1, 5, 33];

export async function testProducts(run: GpuRun): Promise<void> {
  const counts = run.isQuick ? QUICK_ROWS : ROWS;
  for (const dtype of run.isQuick ? (["f16"] as const) : (["f16", "bf16", "f32"] as const)) {
    const sizes = sizesOf({
      ...{ hiddenSize: 256, intermediateSize: 648, vocabSize: 2003 },
      ...{ headDim: 64, numQueryHeads: 6, numKvHeads: 2 },
      ...{ maxBatchRows: Math.max(...counts), maxSequenceLength: 1024, maxPages: 256 },
    });
    const trial = new Trial(await run.openOn("f16")(...sizes), 7, "f16");
    const { backend } = trial;
    const make = (name: string, rows: number, cols: number) =>
      makeWeight(backend, matrixSpec(name, dtype, [rows, cols]), trial.random);
    const { hiddenSize, intermediateSize, vocabSize, rmsNormEps, numQueryHeads, headDim } = backend.model;
    const width = numQueryHeads * headDim;
    const weights = {
      norm: makeWeight(backend, vectorSpec("norm", dtype, hiddenSize), trial.random),
      gate: make("gate", intermediateSize, hiddenSize),
      up: make("up", intermediateSize, hiddenSize),
      down: make("down", hiddenSize, intermediateSize),
    };
    const [o, head] = [make("o", hiddenSize, width), make("head", vocabSize, hiddenSize)];
    const logits = trial.tensor("f32", backend.capacity.maxBatchSequences, vocabSize);
    for (const count of counts) {
      const bound = run.hasSubgroupMatrices && dtype !== "f32" && count > 4 ? SUBGROUP_MATRIX_NMSE : F32_NMSE;
      const sequence = trial.newSequence();
      const part = trial.part(sequence, count);
      const checked = [...new Set([0, 3, 4, 15, 16, 63, 64, 127, 128, count - 2, count - 1])].filter(
        (row) => row >= 0 && row < count,
      );
      const worst = async (expectedOf: (x: Float64Array, row: number) => ArrayLike<number>) => {
        const x = await trial.floats(trial.x);
        return Math.max(
          ...checked.map((row) => {
            const expected = expectedOf(part.rows[row], row);
            return nmse(x.subarray(row * hiddenSize, (row + 1) * hiddenSize), expected);
          }),
        );
      };
      const add = (what: string, error: number) =>
        run.rows.add("products", `${what}, ${dtype}, ${count} rows`, { error, bound });

      trial.begin([part]);
      const attended = Array.from({ length: count }, () => trial.random.row(width));
      backend.write(trial.output, Float32Array.from(attended.flatMap((row) => [...row])));
      backend.attentionOutput({ o: o.ref }, trial.output, trial.x);
      add(
        "attentionOutput",
        await worst((x, row) => matvec(o.plain, attended[row]).map((value, c) => value + x[c])),
      );

      trial.end(sequence);
      part.sequence.pages.length = 0;
      part.sequence.length = 0;
      trial.begin([part]);
      const refs = {
        ...{ norm: weights.norm.ref, gate: weights.gate.ref },
        ...{ up: weights.up.ref, down: weights.down.ref },
      };
      backend.feedForward(refs, trial.x);
      const after = (x: Float64Array) => {
        const normed = rmsNorm(x, weights.norm.plain.values, rmsNormEps);
        const lifted = matvec(weights.up.plain, normed);
        const inner = matvec(weights.gate.plain, normed).map((g, i) => silu(g) * lifted[i]);
        return matvec(weights.down.plain, inner).map((value, c) => value + x[c]);
      };
      add("feedForward", await worst(after));

      const wanted = [count - 1, 0];
      backend.logits(weights.norm.ref, head.ref, trial.x, Uint32Array.from(wanted), 2, logits);
      const given = await trial.floats(logits);
      const errors = wanted.map((row, i) =>
        nmse(
          given.subarray(i * vocabSize, (i + 1) * vocabSize),
          matvec(head.plain, rmsNorm(after(part.rows[row]), weights.norm.plain.values, rmsNormEps)),
        ),
      );
      add("logits", Math.max(...errors));
      trial.end(sequence);
    }
    await backend.close();
  }
}
