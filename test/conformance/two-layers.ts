/** Two layers of a decoder between attentions, with brute force: `advance` with and without a next layer. */
import { expect } from "vitest";
import type { Backend, CacheDtype, LayerOutputWeights } from "../../src/backend/backend.ts";
import { isFloatFormat, type WeightFormat } from "../../src/base/weight-format.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { attention, matvec, rmsNorm, silu } from "./brute-force.ts";
import { inputRefs, makeInput, makeWeight, nmse, type PairedWeight } from "./random-weights.ts";
import { Trial, type TrialBackend } from "./trial.ts";

/** Sizes that every kernel takes; ones that do not divide evenly. */
export const EVEN = { hiddenSize: 48, intermediateSize: 136, numQueryHeads: 4, numKvHeads: 2, headDim: 16 };
export const ODD = { hiddenSize: 37, intermediateSize: 70, numQueryHeads: 6, numKvHeads: 3, headDim: 10 };

export interface LayersModel {
  readonly dtype: WeightFormat;
  /** Formats of single matrices that are not `dtype`. */
  readonly valueDtype?: WeightFormat;
  readonly gateUpDtype?: WeightFormat;
  readonly downDtype?: WeightFormat;
  readonly sizes?: typeof ODD;
  readonly bias?: boolean;
  readonly outputBias?: boolean;
  readonly headNorm?: boolean;
  /** A RoPE table for the queries of the second layer, and one for all else. */
  readonly hasRopes?: boolean;
}

/** Two layers of a decoder, with brute force. */
export class TwoLayers {
  readonly trial: Trial;
  readonly #allowedNmse: number;
  readonly #weights: readonly ReturnType<typeof makeOutput>[];

  /** bound: of the NMSE, where products round their inputs; else what f32, a cache and quantised weights explain */
  constructor(backend: TrialBackend, model: LayersModel, cacheDtype: CacheDtype | undefined, bound?: number) {
    this.trial = new Trial(backend, 5, cacheDtype);
    // beside quantised weights x is rounded to 16 bits
    const explained = allowedNmse(isFloatFormat(model.dtype) ? 1e-11 : 1e-8, cacheDtype);
    this.#allowedNmse = bound ?? explained;
    const { placing, write } = placeBeforeWriting(backend);
    this.trial.useInputs([0, 1].map(() => makeInput(placing, this.trial.random, model)));
    this.#weights = [0, 1].map(() => makeOutput(placing, this.trial, model));
    write();
  }

  advance(layer: 0 | 1): void {
    const { backend, output: attended, x, query } = this.trial;
    const next = layer === 0 ? { layer: 1, weights: inputRefs(this.trial.input(1)) } : undefined;
    backend.advance(outputRefs(this.#weights[layer]), next, { attended, x, query });
  }

  /** Runs both layers on the current step. isRead: reads `attended` before `advance`. */
  async check({ isRead }: { readonly isRead: boolean }): Promise<void> {
    const { trial } = this;
    const { backend, parts, query, output, x } = trial;
    const range = { first: 0, count: parts.length };
    let xs = parts.flatMap(({ rows }) => rows);
    trial.attentionInput(0);
    for (const layer of [0, 1] as const) {
      backend.attendAll(layer, range, query, output);
      const attended = this.#attended(layer);
      if (isRead) await this.#expectRows(output, attended);
      xs = this.#advanced(layer, xs, attended);
      this.advance(layer);
      await this.#expectRows(x, xs);
      if (layer === 1) break;
      trial.followInput(1, xs);
      await this.#expectRows(
        query,
        trial.queries.map((heads) => Float64Array.from(heads.flatMap((head) => [...head]))),
      );
    }
  }

  async #expectRows(tensor: Trial["x"], expected: readonly Float64Array[]): Promise<void> {
    const numbers = expected.flatMap((row) => [...row]);
    const actual = await this.trial.floats(tensor);
    expect(numbers.some((value) => value !== 0)).toBe(true);
    expect(nmse(actual, numbers)).toBeLessThan(this.#allowedNmse);
  }

  #attended(layer: number): Float64Array[] {
    const { trial } = this;
    return trial.parts.flatMap(({ sequence, rows }, s) =>
      rows.map((_, i) => {
        const visible = sequence.length - rows.length + i + 1;
        const heads = trial.queries[trial.batch.firstRows[s] + i].map((head, h) =>
          attention(
            head,
            trial.keysOf(sequence, layer, h).slice(0, visible),
            trial.valuesOf(sequence, layer, h).slice(0, visible),
          ),
        );
        return Float64Array.from(heads.flatMap((head) => [...head]));
      }),
    );
  }

  #advanced(layer: 0 | 1, xs: readonly Float64Array[], attended: readonly Float64Array[]): Float64Array[] {
    const { o, oBias, norm, gate, up, down } = this.#weights[layer];
    const { rmsNormEps } = this.trial.backend.model;
    return xs.map((before, row) => {
      const x = matvec(o.plain, attended[row], oBias?.plain).map((value, c) => value + before[c]);
      const normed = rmsNorm(x, norm.plain.values, rmsNormEps);
      const lifted = matvec(up.plain, normed);
      const inner = matvec(gate.plain, normed).map((g, i) => silu(g) * lifted[i]);
      return matvec(down.plain, inner).map((value, c) => value + x[c]);
    });
  }
}

function makeOutput(
  backend: Backend,
  { random, backend: { model: sizes } }: Trial,
  { dtype, outputBias, gateUpDtype, downDtype }: LayersModel,
) {
  const { hiddenSize: hidden, intermediateSize: wide, numQueryHeads, headDim } = sizes;
  const make = (name: string, rows: number, cols: number, format = dtype): PairedWeight =>
    makeWeight(backend, matrixSpec(name, format, [rows, cols]), random);
  const vector = (name: string): PairedWeight => makeWeight(backend, vectorSpec(name, dtype, hidden), random);
  return {
    o: make("o", hidden, numQueryHeads * headDim),
    oBias: outputBias ? vector("o.bias") : undefined,
    norm: vector("norm"),
    gate: make("gate", wide, hidden, gateUpDtype),
    up: make("up", wide, hidden, gateUpDtype),
    down: make("down", hidden, wide, downDtype),
  };
}

function outputRefs({ o, oBias, ...feed }: ReturnType<typeof makeOutput>): LayerOutputWeights {
  const { norm, gate, up, down } = feed;
  return {
    output: { o: o.ref, ...(oBias && { oBias: oBias.ref }) },
    feedForward: { kind: "dense" as const, norm: norm.ref, gate: gate.ref, up: up.ref, down: down.ref },
  };
}

/** Wraps a backend: defers writes of weights until all are created, as when a checkpoint loads. */
function placeBeforeWriting(backend: Backend): { placing: Backend; write(): void } {
  const writes: Parameters<Backend["writeWeight"]>[] = [];
  const placing = new Proxy(backend, {
    get(target, key) {
      if (key === "writeWeight")
        return (...args: Parameters<Backend["writeWeight"]>) => void writes.push(args);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    placing,
    write: () => {
      for (const args of writes) void backend.writeWeight(...args);
    },
  };
}
