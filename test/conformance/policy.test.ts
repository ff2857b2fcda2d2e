/**
 * Every policy through the attention driver, on every backend: each layer attends to the tokens of an independent
 * definition of the policy, and its output is attention over exactly those.
 */
import { afterEach, describe, expect, it } from "vitest";
import { Attention, type BatchGroup } from "../../src/attention/attend.ts";
import { bindAttention } from "../../src/attention/bind-attention.ts";
import { budgetAt, isSparseAt } from "../../src/attention/budget.ts";
import type { AttentionModel, AttentionPolicy } from "../../src/attention/policy.ts";
import { predictReads } from "../../src/attention/predict-reads.ts";
import type { Backend, CacheDtype, TokenSelection } from "../../src/backend/backend.ts";
import { sizesOf } from "../sizes.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { attention } from "./brute-force.ts";
import { gateOf } from "./gated-definition.ts";
import {
  type Definition,
  POLICIES,
  POLICIES_WITH_WINDOWS,
  type PolicyRow,
  randomTokens,
  type Seen,
} from "./policy-definitions.ts";
import { gatesOn } from "./random-gates.ts";
import { nmse } from "./random-weights.ts";
import { type Part, Trial, type TrialBackend, type TrialSequence } from "./trial.ts";

const MODEL: AttentionModel = {
  numLayers: 5,
  numQueryHeads: 6,
  numKvHeads: 2,
  headDim: 10,
  pageSize: 8,
  defaultSelectionLayers: [1, 3],
  defaultSelectionLayersFrom: "guess" as const,
};

/** The same with sliding layers: shorter than the budget, longer, and longer than most sequences. */
const MODEL_WITH_WINDOWS: AttentionModel = { ...MODEL, windows: [9, undefined, 40, undefined, 64] };

/** Maps heads, in two layers alike. */
const MAPPED = "kascade:budget=24,anchors=0+2,maps=1:1-0+3:0-0+4:0-0";
/** One set for all heads, one for each head, one for each kv head: the rest is the driver's, which is the same on every backend. */
const FEW_SPECS = [
  "less-is-more:budget=24,layers=1+3",
  "quest:budget=24,page=8",
  "two-passes",
  "key-sketch:budget=24",
  "key-sketch:budget=24,share=0.7",
  MAPPED,
  "seer-attention-r:gate=gate-8,budget=24",
  "seer-attention-r:gate=gate-8,threshold=0.15",
];
const ROWS = POLICIES.map((row) => [row.spec, row] as const);

/** Sequences of one policy. */
interface Share {
  readonly policy: AttentionPolicy;
  readonly definition: Definition;
  readonly sequences: TrialSequence[];
}

/** Key/value rows of sets per query head: heads of a kv head that share a set share its rows. */
function rowsOf(sets: readonly number[][], counted?: number): number {
  const { numQueryHeads, numKvHeads } = MODEL;
  const groupSize = numQueryHeads / numKvHeads;
  let read = 0;
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++)
    for (const set of new Set(sets.slice(kvHead * groupSize, (kvHead + 1) * groupSize)))
      read += counted ?? set.length;
  return read / numKvHeads;
}

type Scans = Extract<ReturnType<Definition>, { readonly scans?: unknown }>["scans"];

/** f32 vectors per row of the cache: a key and a value, of q8 with a scale each. */
const VECTORS_PER_ROW = { f32: 2, f16: 1, q8: (2 * (MODEL.headDim + 4)) / (4 * MODEL.headDim) } as const;

/** A key is half a row. A page has two f32 vectors, the least and the largest of its keys; a block one of the gate's size. */
function rowsScanned(scans: Scans | undefined, length: number, cacheDtype: CacheDtype): number {
  if (scans === undefined) return 0;
  if (scans === "keys") return length / 2;
  if (typeof scans === "object")
    return (scans.blockKeys * scans.gateDim) / MODEL.headDim / VECTORS_PER_ROW[cacheDtype];
  return Math.ceil(length / MODEL.pageSize) * (2 / VECTORS_PER_ROW[cacheDtype]);
}

describe.each(BACKENDS_AND_ROUNDED)("$name", ({ open, cases, cacheDtype }) => {
  const hasAll = cases === undefined || (cases === "some" && cacheDtype === "q8");
  const rows = hasAll ? ROWS : ROWS.filter(([spec]) => FEW_SPECS.includes(spec));
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  /** An attention driver on a trial that records the selections its layers attend to. */
  class PolicyTrial {
    readonly trial: Trial;
    readonly attention: Attention;
    readonly #model: AttentionModel;
    /** Selections of the last attend call, by the range's first sequence. */
    readonly attended = new Map<number, TokenSelection>();

    constructor(backend: TrialBackend, seed: number, model: AttentionModel) {
      this.#model = model;
      const attendSelected = backend.attendSelected.bind(backend);
      backend.attendSelected = (layer, range, query, selection, output) => {
        this.attended.set(range.first, selection);
        attendSelected(layer, range, query, selection, output);
      };
      this.trial = new Trial(backend, seed, cacheDtype).withInputs();
      this.attention = new Attention(backend, model);
    }

    /** A policy bound to the model, with its gates on this backend. */
    async policyOf({ spec, policy: given }: PolicyRow): Promise<AttentionPolicy> {
      const policy = bindAttention(given ?? spec, this.#model);
      await policy.load?.({ loadGates: async (name = "") => gatesOn(this.trial.backend, gateOf(name)) });
      return policy;
    }

    async filled(policy: AttentionPolicy, length: number): Promise<TrialSequence> {
      const sequence = this.trial.newSequence();
      while (sequence.length < length) {
        this.trial.begin([this.trial.part(sequence, Math.min(21, length - sequence.length))]);
        const group = { policy, range: { first: 0, count: 1 }, isSparse: false };
        this.trial.raw = this.attention.rawHeads([group]);
        for (let layer = 0; layer < MODEL.numLayers; layer++) {
          this.trial.attentionInput(layer);
          this.attention.attend(layer, [group], this.trial.query, this.trial.output);
        }
      }
      return sequence;
    }

    /** Runs a decode step of all policies in one batch and checks it layer by layer. */
    async step(shares: readonly Share[]): Promise<void> {
      const { trial } = this;
      const parts: Part[] = shares.flatMap(({ sequences }) =>
        sequences.map((sequence) => trial.part(sequence, 1)),
      );
      trial.begin(parts);
      const groups: BatchGroup[] = [];
      for (const { policy, sequences } of shares)
        for (const sequence of sequences) {
          const isSparse = isSparseAt(policy, sequence.length);
          const budget = isSparse ? budgetAt(policy, sequence.length) : 0;
          const last = groups.at(-1);
          const isSame = last?.policy === policy;
          if (last && isSame && last.budget === budget)
            groups[groups.length - 1] = { ...last, range: { ...last.range, count: last.range.count + 1 } };
          else {
            const first = last ? last.range.first + last.range.count : 0;
            const part = isSame && last.isSparse ? (last.part ?? 0) + 1 : 0;
            groups.push({ policy, range: { first, count: 1 }, isSparse, budget, part });
          }
        }
      trial.raw = this.attention.rawHeads(groups);
      const lengths = Uint32Array.from(parts, ({ sequence }) => sequence.length);
      this.attention.begin({ lengths, numSequences: parts.length });
      const definitions = shares.flatMap(({ definition, sequences }) => sequences.map(() => definition));
      const lastSets = new Map<number, number[][]>();
      const rows = new Map<number, number>();
      for (let layer = 0; layer < MODEL.numLayers; layer++) {
        trial.attentionInput(layer);
        this.attended.clear();
        trial.backend.attendAll(layer, { first: 0, count: parts.length }, trial.query, trial.output);
        const dense = await trial.floats(trial.output);
        trial.backend.write(trial.output, new Float32Array(dense.length).fill(Number.NaN));
        this.attention.attend(layer, groups, trial.query, trial.output);
        for (const thrown of this.attention.takeFailures().values()) throw thrown;
        const output = await trial.floats(trial.output);
        for (const group of groups)
          for (let i = 0; i < group.range.count; i++) {
            const s = group.range.first + i;
            const read = await this.#check(layer, group, i, definitions[s], lastSets, dense, output);
            rows.set(s, (rows.get(s) ?? 0) + read);
          }
      }
      for (const { policy, range } of groups)
        for (let s = range.first; s < range.first + range.count; s++)
          for (const counted of [
            this.attention.reads.of(s),
            predictReads(policy, this.#model, { length: lengths[s], cacheDtype: trial.backend.cacheDtype }),
          ])
            expect(counted).toBeCloseTo(rows.get(s) ?? Number.NaN, 9);
    }

    /** Checks one sequence in one layer; returns the rows (keys and values of a token) that it had to read. */
    async #check(
      layer: number,
      group: BatchGroup,
      i: number,
      definition: Definition,
      lastSets: Map<number, number[][]>,
      dense: Float32Array,
      output: Float32Array,
    ): Promise<number> {
      const { trial } = this;
      const s = group.range.first + i;
      const { sequence } = trial.parts[s];
      const width = 6 * trial.backend.model.headDim;
      const actual = output.slice(s * width, (s + 1) * width);
      const keys = perHeadKeys(trial, sequence, layer);
      const rawKeys = [0, 1].map((head) => sequence.rawKeys[layer].map((heads) => heads[head]));
      const raw = { queries: trial.rawQueries[s], keys: rawKeys };
      const seen: Seen = { layer, length: sequence.length, queries: trial.queries[s], keys, raw };
      const window = this.#model.windows?.[layer];
      const expected = group.isSparse && window === undefined ? definition(seen) : "all";
      if (typeof expected === "object" && "sets" in expected) lastSets.set(s, expected.sets);
      const isDense = expected === "all" || (typeof expected === "object" && expected.attends === "all");
      const selection = this.attended.get(group.range.first);
      if (isDense) {
        expect(selection).toBeUndefined();
        expect(actual).toEqual(dense.slice(s * width, (s + 1) * width));
        return Math.min(sequence.length, window ?? sequence.length);
      }
      const last = lastSets.get(s);
      const sets =
        typeof expected === "object" && "map" in expected
          ? last?.map((_, h) => last[3 * expected.map[Math.floor(h / 3)]])
          : last;
      if (!selection || !sets) throw new Error(`layer ${layer} attended to no selection`);
      const selected = (await trial.selected(selection, i + 1))[i];
      const headsPerGroup = 6 / selection.headGroups;
      for (let h = 0; h < 6; h++) expect(selected[Math.floor(h / headsPerGroup)]).toEqual(sets[h]);
      const { budget = group.policy.tokenBudget } = group;
      expect(sets[0].length).toBeLessThanOrEqual(budget);
      if (!group.policy.budgetShare) expect(budget).toBe(group.policy.tokenBudget);
      const values = Array.from({ length: 6 }, (_, h) => trial.valuesOf(sequence, layer, h));
      const wanted = trial.queries[s].flatMap((query, h) => [
        ...attention(
          query,
          sets[h].map((t) => keys[h][t]),
          sets[h].map((t) => values[h][t]),
        ),
      ]);
      expect(nmse(actual, wanted)).toBeLessThan(allowedNmse(1e-11, cacheDtype));
      const {
        scans = undefined,
        candidates = 0,
        counted = undefined,
      } = typeof expected === "object" && "sets" in expected ? expected : {};
      const ofCandidates = candidates / 2;
      return (
        rowsOf(sets, counted) + ofCandidates + rowsScanned(scans, sequence.length, trial.backend.cacheDtype)
      );
    }
  }

  function perHeadKeys(trial: Trial, sequence: TrialSequence, layer: number) {
    return Array.from({ length: 6 }, (_, h) => trial.keysOf(sequence, layer, h));
  }

  async function openTrial(seed: number, model: AttentionModel = MODEL): Promise<PolicyTrial> {
    const { numLayers, numQueryHeads, numKvHeads, headDim, pageSize } = MODEL;
    const backend = await open(
      ...sizesOf({
        numLayers,
        numQueryHeads,
        numKvHeads,
        pageSize,
        headDim,
        hiddenSize: 24,
        maxPages: 200,
        ...(model.windows && {
          layers: model.windows.map((window) => ({ rope: 0, ...(window && { window }) })),
        }),
      }),
    );
    opened.push(backend);
    return new PolicyTrial(backend, seed, model);
  }

  async function shareOf(
    t: PolicyTrial,
    row: PolicyRow,
    lengths: readonly number[],
    bound?: AttentionPolicy,
  ): Promise<Share> {
    const policy = bound ?? (await t.policyOf(row));
    const sequences: TrialSequence[] = [];
    for (const length of lengths) sequences.push(await t.filled(policy, length - 1));
    return { policy, definition: row.definition, sequences };
  }

  it.each(rows)("%s at lengths around the budget: sets exactly, output NMSE < 1e-11", async (_, row) => {
    const t = await openTrial(5);
    const policy = await t.policyOf(row);
    const { tokenBudget } = policy;
    const budget = Number.isFinite(tokenBudget) ? tokenBudget : 24;
    const lengths = [budget - 1, budget, budget + 1, 3 * budget].filter((length) => length > 0);
    const share = await shareOf(t, row, lengths, policy);
    // lengths grow from budget - 1 past the budget and cross page edges; each step selects again
    for (let step = 0; step < 4; step++) await t.step([share]);
  });

  it.each(rows)("%s with budget ≥ length equals full attention exactly", async (_, row) => {
    const t = await openTrial(6);
    const policy = await t.policyOf(row);
    const { tokenBudget, denseLength = tokenBudget } = policy;
    const longest = Math.min(denseLength, 48);
    const share = await shareOf(t, row, [1, Math.ceil(longest / 2), longest], policy);
    const full: Share = { ...share, definition: () => "all" };
    expect(share.sequences.every(({ length }) => !isSparseAt(share.policy, length + 1))).toBe(true);
    await t.step([full]);
  });

  const withWindows = cases === undefined ? POLICIES_WITH_WINDOWS : POLICIES_WITH_WINDOWS.slice(2, 7);
  it.each(
    withWindows.map((row) => [row.spec, row] as const),
  )("%s leaves sliding layers to their window: the others' sets exactly, reads of windows alone", async (_, row) => {
    const t = await openTrial(9, MODEL_WITH_WINDOWS);
    const share = await shareOf(t, row, [8, 24, 39, 63, 90]);
    for (let step = 0; step < 3; step++) await t.step([share]);
  });

  it("policies share a batch without touching each other's selections", async () => {
    const t = await openTrial(7);
    const rows = [1, 9, 11, 0, 15].map((at) => POLICIES[at]);
    const shares: Share[] = [];
    for (const [i, row] of rows.entries()) shares.push(await shareOf(t, row, i < 3 ? [30 + i, 70] : [41]));
    for (let step = 0; step < 3; step++) await t.step(shares);
    // one policy ends, and its buffers go to another
    t.attention.forget(shares[0].policy);
    const late = await shareOf(t, POLICIES[17], [33, 50]);
    for (let step = 0; step < 2; step++) await t.step([...shares.slice(1), late]);
  });

  // of the driver: nothing of it is the backend's
  it.runIf(cases === undefined)("a policy creates all its tensors in the first sparse step", async () => {
    for (const [, row] of rows.filter(([spec]) => !spec.includes("share="))) {
      const t = await openTrial(8);
      const share = await shareOf(t, row, [60, 90]);
      await t.step([share]);
      const { backend } = t.trial;
      backend.createTensor = () => {
        throw new Error(`${row.spec} made a tensor in steady state`);
      };
      await t.step([share]);
    }
  });

  it("random-tokens draws anew in each layer and at each length", () => {
    const sets = [0, 1].flatMap((layer) =>
      [50, 51].map((length) =>
        JSON.stringify(
          randomTokens(24, 5)({ layer, length, queries: [], keys: [], raw: { queries: [], keys: [] } }),
        ),
      ),
    );
    expect(new Set(sets).size).toBe(4);
  });
});
