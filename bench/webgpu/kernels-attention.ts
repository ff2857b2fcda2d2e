/** Decode attention, dense and over a selection, and selection from given scores. */
import { combineAttention, type Scores, type TokenSelection, type UnitSet } from "../../src/node/internal.ts";
import { judge, TARGETS } from "../targets.ts";
import { type CallSequence, timeSequences } from "./call-timer.ts";
import { byteFigure, type GpuFigure } from "./figure.ts";
import { gauss, type KernelBench } from "./kernel-bench.ts";
import { cacheRowBytes } from "./step-work.ts";

const RANGE = { first: 0, count: 1 };
const SINKS = 4;

export const denseName = (context: number) => `dense attention, ${context}`;
export const selectionName = (budget: number, context: number) => `selection, ${budget} of ${context}`;
export const sparseName = (budget: number, context: number) => `sparse attention, ${budget} of ${context}`;

export async function benchAttentionKernels(bench: KernelBench): Promise<readonly GpuFigure[]> {
  const { plan, readBandwidth } = bench;
  const { contexts, selectionContext, budget } = plan;
  const selector = new Selector(bench);
  const times = await timeSequences(bench.model.backend, [
    ...[budget, ...contexts].map((context) => denseCallSequence(bench, context)),
    denseCallSequence(bench, selectionContext, selector.emittedScores),
    ...selector.sequences(),
  ]);
  const microseconds = (name: string) => times.get(name) ?? Number.NaN;
  const { cacheDtype } = plan;
  const figure = (name: string, tokens: number) => ({
    ...byteFigure(name, microseconds(name), tokens * cacheRowBytes(plan.config, cacheDtype), readBandwidth),
    cacheDtype,
  });
  const judged = [selectionContext, Math.max(...contexts)];
  const dense = contexts.map((context) => {
    const one = figure(denseName(context), context);
    return judged.includes(context) ? { ...one, ...judge(TARGETS.denseAttention, one.shareOfRead) } : one;
  });
  const sparse = figure(sparseName(budget, selectionContext), budget);
  const ratio = microseconds(sparse.kernel) / microseconds(denseName(budget));
  const selection = selectionName(budget, selectionContext);
  return [
    figure(denseName(budget), budget),
    ...dense,
    figure(withScores(selectionContext), selectionContext),
    {
      kernel: selection,
      microseconds: microseconds(selection),
      ...judge(TARGETS.selection, microseconds(selection)),
    },
    { ...sparse, times: ratio, ...judge(TARGETS.sparseAttention, ratio) },
  ];
}

const withScores = (context: number) => `${denseName(context)}, scores emitted`;

function denseCallSequence(bench: KernelBench, context: number, scores?: Scores): CallSequence {
  const { model, query, output } = bench;
  return {
    name: scores ? withScores(context) : denseName(context),
    prepare: () => bench.begin(context, 1),
    run: (call) => {
      model.backend.attendAll(bench.layer(call), RANGE, query, output, scores);
      combineAttention(model.backend, output);
    },
  };
}

/** Selects as LessIsMore does by default: a quarter of the budget is always kept, the rest is by rank. */
class Selector {
  readonly #bench: KernelBench;
  readonly #ends: { readonly sinks: number; readonly recent: number };
  readonly #set: UnitSet;
  readonly #selection: TokenSelection;
  readonly #given: Scores;
  /** Receives the scores that a dense pass emits. */
  readonly emittedScores: Scores;

  constructor(bench: KernelBench) {
    const { model, plan } = bench;
    const { budget, selectionContext: context } = plan;
    const { backend, config } = model;
    const heads = config.numQueryHeads;
    const ends = Math.ceil(budget / 4);
    this.#bench = bench;
    this.#ends = { sinks: SINKS, recent: ends - SINKS };
    this.#set = {
      units: backend.createTensor("u32", [1, 1, budget]),
      headGroups: 1,
      count: budget - ends,
      unit: 1,
    };
    this.#selection = {
      indices: backend.createTensor("u32", [1, 1, budget]),
      counts: backend.createTensor("u32", [1]),
      headGroups: 1,
    };
    // heads agree in part, as in a model
    const value = (i: number) => gauss(i % context) + 0.5 * gauss(i + 7e6);
    this.#given = { values: bench.tensor([1, heads, context], value), heads, unit: 1 };
    this.emittedScores = { values: backend.createTensor("f32", [1, heads, context]), heads, unit: 1 };
  }

  sequences(): readonly CallSequence[] {
    const { model, plan, query, output } = this.#bench;
    const { backend } = model;
    const { budget, selectionContext: context } = plan;
    const begin = () => this.#bench.begin(context, 1);
    const select = () => {
      backend.mergeByRank(RANGE, this.#given, this.#ends, this.#set);
      backend.expandSelection(RANGE, this.#set, this.#ends, this.#selection);
    };
    return [
      { name: selectionName(budget, context), prepare: begin, run: select },
      {
        name: sparseName(budget, context),
        prepare: () => {
          begin();
          select();
        },
        run: (call) => {
          backend.attendSelected(this.#bench.layer(call), RANGE, query, this.#selection, output);
          combineAttention(backend, output);
        },
      },
    ];
  }
}
