/**
 * A numerical self-test: one small layer, op by op, on a backend and on the reference. Drivers and GPUs that compute wrongly
 * exist, and their results look like a broken model. This test names the failing op and its error.
 */

import { full } from "../attention/policies/full.ts";
import { maskWords } from "../backend/adjust-logits.ts";
import type {
  Backend,
  Capacity,
  ModelShape,
  SamplingRow,
  Scores,
  TokenSelection,
  UnitSet,
} from "../backend/backend.ts";
import { plainShape } from "../backend/plain-shape.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../base/tensor-ref.ts";
import type { FloatFormat } from "../base/weight-format.ts";
import { StepBatchBuilder } from "../engine/step-batch.ts";
import { createRope } from "../model/rope.ts";
import { randomWeights, relativeError, type SelfTestRow, selfTestRow } from "./self-test-numbers.ts";

/** Rows of the prefill chunk: more than one split of split-KV attention, and no whole number of pages or tiles. */
const CHUNK_ROWS = 75;

export const SELF_TEST_MODEL: ModelShape = plainShape({
  numLayers: 1,
  hiddenSize: 128,
  intermediateSize: 192,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 64,
  vocabSize: 320,
  rmsNormEps: 1e-6,
});

export const SELF_TEST_CAPACITY: Capacity = {
  pageSize: 16,
  maxPages: 8,
  maxSequenceLength: 96,
  maxBatchRows: CHUNK_ROWS,
  maxBatchSequences: 4,
};

const ALL = { first: 0, count: 1 };
const ENDS = { sinks: 4, recent: 5 };
const NUM_RANKED = 15;
/** The kv head whose set each gets. */
const HEAD_MAP = [1, 0];
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const DRAWS: readonly SamplingRow[] = [
  { params: GREEDY, sampleIndex: 0, seenTokens: [] },
  { params: { ...GREEDY, temperature: 0.7, topK: 20 }, sampleIndex: 1, seenTokens: [] },
  { params: { ...GREEDY, temperature: 1, topP: 0.9, minP: 0.01 }, sampleIndex: 2, seenTokens: [] },
  {
    params: { ...GREEDY, repetitionPenalty: 1.3 },
    ...{ sampleIndex: 3, seenTokens: [3, 5, 8, 13] },
    bias: { ids: [2, 3, 21], values: [0.5, 1, Number.NEGATIVE_INFINITY] },
    // leaves out every third token
    mask: new Uint32Array(maskWords(SELF_TEST_MODEL.vocabSize)).map((_, word) => 0xb6db6db6 >>> (word % 3)),
  },
];

/**
 * Runs the layer on both backends, which were opened with `SELF_TEST_MODEL` and `SELF_TEST_CAPACITY`. Each op starts from the
 * reference's numbers, so the test finds an error where it arises.
 */
export async function runSelfTest(
  tested: Backend,
  reference: Backend,
  allowed: number,
): Promise<readonly SelfTestRow[]> {
  const test = new LayerTest(makeSide(tested), makeSide(reference), allowed);
  await test.layer("chunk", 0, CHUNK_ROWS);
  await test.draws();
  await test.layer("decode", CHUNK_ROWS, 1);
  await test.decodeAtOnce();
  return test.rows;
}

/** A backend with the weights and tensors of the layer. */
interface Side {
  readonly backend: Backend;
  readonly weights: ReturnType<typeof makeWeights>;
  readonly x: TensorRef;
  readonly query: TensorRef;
  readonly attended: TensorRef;
  readonly logits: TensorRef;
  readonly scores: Scores;
  readonly units: UnitSet;
  readonly selection: TokenSelection;
  /** `scores` pooled over all heads. */
  readonly pooled: Scores;
  /** A set per kv head, and the sets with their heads mapped. */
  readonly sets: TokenSelection;
  readonly mapped: TokenSelection;
}

function makeSide(backend: Backend): Side {
  const { hiddenSize, numQueryHeads: heads, headDim, vocabSize } = SELF_TEST_MODEL;
  const { maxBatchRows, maxBatchSequences: sequences, maxSequenceLength } = SELF_TEST_CAPACITY;
  const most = NUM_RANKED + ENDS.sinks + ENDS.recent;
  const selection = (headGroups: number): TokenSelection => ({
    indices: backend.createTensor("u32", [sequences, headGroups, most]),
    counts: backend.createTensor("u32", [sequences, headGroups]),
    headGroups,
  });
  const sets = selection(HEAD_MAP.length);
  backend.write(
    sets.indices,
    Uint32Array.from({ length: 2 * most }, (_, i) => 3 * i),
  );
  backend.write(sets.counts, Uint32Array.of(most, most));
  return {
    backend,
    weights: makeWeights(backend),
    x: backend.createTensor("f32", [maxBatchRows, hiddenSize]),
    query: backend.createTensor("f32", [maxBatchRows, heads * headDim]),
    attended: backend.createTensor("f32", [maxBatchRows, heads * headDim]),
    logits: backend.createTensor("f32", [sequences, vocabSize]),
    scores: { values: backend.createTensor("f32", [sequences, heads, maxSequenceLength]), heads, unit: 1 },
    units: {
      units: backend.createTensor("u32", [sequences, 1, NUM_RANKED]),
      headGroups: 1,
      count: NUM_RANKED,
      unit: 1,
    },
    selection: selection(1),
    pooled: { values: backend.createTensor("f32", [sequences, 1, maxSequenceLength]), heads: 1, unit: 1 },
    sets,
    mapped: selection(HEAD_MAP.length),
  };
}

/** Makes weights of all float formats, norms and biases, so that the layer takes every way of reading weights. */
function makeWeights(backend: Backend) {
  const { hiddenSize, intermediateSize, headDim, vocabSize, numQueryHeads, numKvHeads } = SELF_TEST_MODEL;
  const [queryWidth, kvWidth] = [numQueryHeads * headDim, numKvHeads * headDim];
  // All are placed before the first is written, as for a checkpoint: their places decide which kernels run.
  const writes: (() => void)[] = [];
  const place = (spec: WeightSpec): WeightRef => {
    const ref = backend.createWeight(spec);
    const seed = writes.length + 1;
    // The first read surfaces errors of the upload.
    writes.push(() => void backend.writeWeight(ref, 0, randomWeights(ref.format, ref.rows * ref.cols, seed)));
    return ref;
  };
  const weight = (name: string, format: FloatFormat, rows: number, cols: number) =>
    place({ kind: "matrix", name, format, rows, cols });
  const vector = (name: string, size: number) => place({ kind: "vector", name, format: "f32", size });
  const weights = {
    embedding: weight("embedding", "bf16", vocabSize, hiddenSize),
    attentionInput: {
      norm: vector("attention norm", hiddenSize),
      q: weight("q", "bf16", queryWidth, hiddenSize),
      k: weight("k", "bf16", kvWidth, hiddenSize),
      v: weight("v", "bf16", kvWidth, hiddenSize),
      qBias: vector("q bias", queryWidth),
      kBias: vector("k bias", kvWidth),
      vBias: vector("v bias", kvWidth),
      qNorm: vector("q norm", headDim),
      kNorm: vector("k norm", headDim),
    },
    layerOutput: {
      output: { o: weight("o", "f16", hiddenSize, queryWidth) },
      feedForward: {
        kind: "dense" as const,
        norm: vector("feed-forward norm", hiddenSize),
        gate: weight("gate", "f16", intermediateSize, hiddenSize),
        up: weight("up", "f16", intermediateSize, hiddenSize),
        down: weight("down", "f32", hiddenSize, intermediateSize),
      },
    },
    norm: vector("norm", hiddenSize),
    output: weight("output", "f32", vocabSize, hiddenSize),
    oneDtype: {
      attentionInput: {
        norm: vector("norm", hiddenSize),
        q: weight("q", "f16", queryWidth, hiddenSize),
        k: weight("k", "f16", kvWidth, hiddenSize),
        v: weight("v", "f16", kvWidth, hiddenSize),
      },
      layerOutput: {
        output: { o: weight("o", "f16", hiddenSize, queryWidth) },
        feedForward: {
          kind: "dense" as const,
          norm: vector("norm", hiddenSize),
          gate: weight("gate", "f16", intermediateSize, hiddenSize),
          up: weight("up", "f16", intermediateSize, hiddenSize),
          down: weight("down", "f16", hiddenSize, intermediateSize),
        },
      },
    },
  };
  for (const write of writes) write();
  return weights;
}

class LayerTest {
  readonly rows: SelfTestRow[] = [];
  readonly #tested: Side;
  readonly #reference: Side;
  readonly #allowed: number;
  readonly #batch = new StepBatchBuilder({ model: SELF_TEST_MODEL, capacity: SELF_TEST_CAPACITY }, [
    createRope({ type: "default", theta: 10000, headDim: SELF_TEST_MODEL.headDim }),
  ]);

  constructor(tested: Side, reference: Side, allowed: number) {
    this.#tested = tested;
    this.#reference = reference;
    this.#allowed = allowed;
  }

  /** Runs a layer over `numRows` rows from a position on. A decode step also selects, and attends to its selection. */
  async layer(name: "chunk" | "decode", firstPosition: number, numRows: number): Promise<void> {
    const { vocabSize, hiddenSize, numQueryHeads, headDim } = SELF_TEST_MODEL;
    const { maxPages } = SELF_TEST_CAPACITY;
    const isDecode = name === "decode";
    const tokens = Array.from({ length: CHUNK_ROWS }, (_, i) => (i * 89) % vocabSize);
    const pages = Array.from({ length: maxPages }, (_, i) => (i * 5 + 3) % maxPages);
    const [xs, heads] = [numRows * hiddenSize, numRows * numQueryHeads * headDim];
    const isPrefill = !isDecode;
    const run = { name: "self-test", tokens, pages, firstPosition, numRows, isPrefill, policy: full() };
    // The decode step continues from the first sample, which the host has not read.
    this.#batch.fill([{ ...run, inFlightRow: 0 }]);
    this.#both(({ backend, weights, x }) => {
      backend.beginStep(this.#batch);
      backend.embed(weights.embedding, x);
    });
    await this.#compare(`embed, ${name}`, ({ x }) => x, xs);
    this.#both(({ backend, weights, x, query }) =>
      backend.attentionInput(0, weights.attentionInput, x, query),
    );
    await this.#compare(`attentionInput, ${name}`, ({ query }) => query, heads);
    this.#both(({ backend, query, attended, scores }) =>
      backend.attendAll(0, ALL, query, attended, isDecode ? scores : undefined),
    );
    await this.#compare(`attendAll, ${name}`, ({ attended }) => attended, heads);
    if (isDecode) await this.#select(heads, firstPosition + 1);
    this.#both(({ backend, weights, x, query, attended }) =>
      backend.advance(weights.layerOutput, undefined, { attended, x, query }),
    );
    await this.#compare(`advance, ${name}`, ({ x }) => x, xs);
    await this.#logits(name, isDecode ? [0] : [CHUNK_ROWS - 1, 0, 40, 7]);
  }

  /** Takes a decode row through a layer and into the next without a read in between, so that a backend may fuse all of it. */
  async decodeAtOnce(): Promise<void> {
    const { vocabSize, hiddenSize, numQueryHeads, headDim } = SELF_TEST_MODEL;
    const { maxPages } = SELF_TEST_CAPACITY;
    const tokens = Array.from({ length: CHUNK_ROWS + 2 }, (_, i) => (i * 89) % vocabSize);
    const pages = Array.from({ length: maxPages }, (_, i) => (i * 5 + 3) % maxPages);
    const run = {
      name: "self-test",
      tokens,
      pages,
      firstPosition: CHUNK_ROWS + 1,
      numRows: 1,
      isPrefill: false,
      policy: full(),
    };
    this.#batch.fill([run]);
    this.#both(({ backend, weights, x }) => {
      backend.beginStep(this.#batch);
      backend.embed(weights.embedding, x);
    });
    await this.#read(({ x }) => x, hiddenSize);
    this.#both(({ backend, weights: { oneDtype }, x, query, attended }) => {
      backend.attentionInput(0, oneDtype.attentionInput, x, query);
      backend.attendAll(0, ALL, query, attended);
      const next = { layer: 0, weights: oneDtype.attentionInput };
      backend.advance(oneDtype.layerOutput, next, { attended, x, query });
    });
    await this.#compare("a layer at once", ({ x }) => x, hiddenSize);
    await this.#compare("the next layer's queries", ({ query }) => query, numQueryHeads * headDim);
  }

  async #logits(name: string, rows: readonly number[]): Promise<void> {
    const { vocabSize } = SELF_TEST_MODEL;
    this.#both(({ backend, weights, x, logits }) =>
      backend.logits(weights.norm, weights.output, x, Uint32Array.from(rows), rows.length, logits),
    );
    await this.#compare(`logits, ${name}`, ({ logits }) => logits, rows.length * vocabSize);
  }

  async #select(heads: number, length: number): Promise<void> {
    const { numQueryHeads } = SELF_TEST_MODEL;
    const { maxSequenceLength } = SELF_TEST_CAPACITY;
    // Scores past the length are unused, and zero in both.
    const scores = (numQueryHeads - 1) * maxSequenceLength + length;
    await this.#compare("emitted scores", ({ scores }) => scores.values, scores);
    this.#both(({ backend, scores, units }) => backend.mergeByRank(ALL, scores, ENDS, units));
    await this.#compareChoices("mergeByRank", ({ units }) => units.units, NUM_RANKED);
    this.#both(({ backend, units, selection }) => backend.expandSelection(ALL, units, ENDS, selection));
    await this.#compareChoices(
      "expandSelection",
      ({ selection }) => selection.indices,
      NUM_RANKED + ENDS.sinks + ENDS.recent,
    );
    this.#both(({ backend, query, selection, attended }) =>
      backend.attendSelected(0, ALL, query, selection, attended),
    );
    await this.#compare("attendSelected", ({ attended }) => attended, heads);
    await this.#narrow(scores, length);
  }

  /** Ops that narrow a selection: scores of its tokens, pooled into one head, and heads mapped. */
  async #narrow(numScores: number, length: number): Promise<void> {
    this.#both(({ backend, query, selection, scores }) =>
      backend.selectedScores(0, ALL, query, selection, scores),
    );
    await this.#compare("selectedScores", ({ scores }) => scores.values, numScores);
    this.#both(({ backend, scores, pooled }) => backend.poolScores(ALL, scores, "softmax-mean", pooled));
    await this.#compare("poolScores", ({ pooled }) => pooled.values, length);
    this.#both(({ backend, sets, mapped }) => backend.mapHeads(ALL, sets, HEAD_MAP, mapped));
    await this.#compare(
      "mapHeads",
      ({ mapped }) => mapped.indices,
      2 * (NUM_RANKED + ENDS.sinks + ENDS.recent),
    );
  }

  /** Samples from the logits of the chunk. */
  async draws(): Promise<void> {
    const [actual, expected] = await Promise.all(
      [this.#tested, this.#reference].map(({ backend, logits }) => backend.sample(logits, DRAWS).tokens()),
    );
    const wrong = (isGreedy: boolean) =>
      DRAWS.filter(
        ({ params }, i) => (params.temperature === 0) === isGreedy && actual?.[i] !== expected?.[i],
      ).length;
    this.#add("sample, greedy", wrong(true), 0);
    this.#add("sample, drawn", wrong(false), 0);
  }

  #both(work: (side: Side) => void): void {
    work(this.#tested);
    work(this.#reference);
  }

  async #compare(op: string, pick: (side: Side) => TensorRef, count: number): Promise<void> {
    const [actual, expected] = await this.#read(pick, count);
    this.#add(op, relativeError(actual, expected), this.#allowed);
  }

  async #compareChoices(op: string, pick: (side: Side) => TensorRef, count: number): Promise<void> {
    const [actual, expected] = await this.#read(pick, count);
    const chosen = new Set(actual);
    this.#add(op, expected.filter((position) => !chosen.has(position)).length, 0);
  }

  /** Reads the first `count` numbers of both sides; the tested side continues with the reference's. */
  async #read(pick: (side: Side) => TensorRef, count: number) {
    const actual = await this.#tested.backend.read(pick(this.#tested));
    const expected = (await this.#reference.backend.read(pick(this.#reference))).subarray(0, count);
    this.#tested.backend.write(pick(this.#tested), expected);
    return [actual.subarray(0, count), expected] as const;
  }

  #add(op: string, error: number, allowed: number): void {
    this.rows.push(selfTestRow(op, error, allowed));
  }
}
