/**
 * The self-test of ops by which policies select and which the decoder's test leaves out: scores against sketches of keys and against
 * key bounds, pooled scores, the best of them. Only some policies use them, so no opening waits for their kernels; `doctor` runs
 * the test.
 */
import type { Backend, KeySketch, Scores, UnitSet } from "../backend/backend.ts";
import { sketchWords } from "../backend/sketch-words.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import { randomFloats, relativeError, type SelfTestRow, selfTestRow } from "./self-test-numbers.ts";
import {
  ALL,
  CHUNK_ROWS,
  fillBatch,
  makeInput,
  newBatch,
  SMALL_CAPACITY,
  SMALL_LAYER,
} from "./small-layer.ts";

/**
 * Allowed error of scores against sketches. A channel in the middle of two steps may take either, after a sum in another order or
 * an f16 product; 1 of 300 that does is 0.02 of the scores. Codes in a wrong place are off by about 1.
 */
const SKETCH_ERROR = 0.03;
const NUM_BEST = 12;
const ENDS = { sinks: 2, recent: 3 };
const SEED = 7;

/**
 * Runs the ops on both backends, which were opened with `SMALL_LAYER` and `SMALL_CAPACITY`, after a chunk and a decode step of which
 * each updates sketches and bounds.
 */
export async function runSelectionTest(
  tested: Backend,
  reference: Backend,
  allowed: number,
): Promise<readonly SelfTestRow[]> {
  const test = new SelectionTest(makeSide(tested), makeSide(reference), allowed);
  test.fillCache();
  await test.scores();
  await test.pooled();
  return test.rows;
}

/** A backend with the weights and tensors of the test. */
interface Side {
  readonly backend: Backend;
  readonly input: ReturnType<typeof makeInput>;
  readonly x: TensorRef;
  readonly query: TensorRef;
  readonly sketch: KeySketch;
  readonly sketchScores: Scores;
  readonly scores: Scores;
  readonly pageScores: Scores;
  readonly randomScores: Scores;
  /** `scores` pooled into a head for each kv head. */
  readonly pooled: Scores;
  /** The best of `pooled`. */
  readonly best: UnitSet;
}

function makeSide(backend: Backend): Side {
  const { hiddenSize, numQueryHeads, numKvHeads, headDim } = SMALL_LAYER;
  const { maxSequenceLength: length, pageSize } = SMALL_CAPACITY;
  const scores = (heads: number, unit: number): Scores => ({
    values: backend.createTensor("f32", [1, heads, Math.ceil(length / unit)]),
    ...{ heads, unit },
  });
  return {
    backend,
    input: makeInput(backend),
    x: backend.createTensor("f32", [CHUNK_ROWS, hiddenSize]),
    query: backend.createTensor("f32", [CHUNK_ROWS, numQueryHeads * headDim]),
    sketch: { keys: backend.createPageTensor("u32", [pageSize, numKvHeads, sketchWords(headDim)]) },
    sketchScores: scores(numKvHeads, 1),
    scores: scores(numQueryHeads, 1),
    pageScores: scores(numQueryHeads, pageSize),
    randomScores: scores(1, 1),
    pooled: scores(numKvHeads, 1),
    best: {
      units: backend.createTensor("u32", [1, numKvHeads, NUM_BEST]),
      ...{ headGroups: numKvHeads, count: NUM_BEST, unit: 1 },
    },
  };
}

class SelectionTest {
  readonly rows: SelfTestRow[] = [];
  readonly #tested: Side;
  readonly #reference: Side;
  readonly #allowed: number;
  readonly #batch = newBatch();

  constructor(tested: Side, reference: Side, allowed: number) {
    this.#tested = tested;
    this.#reference = reference;
    this.#allowed = allowed;
  }

  /** Caches a chunk and a decode row, and sketches and bounds after each. */
  fillCache(): void {
    for (const [firstPosition, numRows] of [
      [0, CHUNK_ROWS],
      [CHUNK_ROWS, 1],
    ] as const) {
      fillBatch(this.#batch, firstPosition, numRows);
      this.#both(({ backend, input, x, query, sketch }) => {
        backend.beginStep(this.#batch);
        backend.write(x, randomFloats(numRows * SMALL_LAYER.hiddenSize, numRows));
        backend.attentionInput(0, input, x, query);
        backend.updateKeySketch(0, ALL, sketch);
        backend.updatePageBounds(0, ALL);
      });
    }
  }

  async scores(): Promise<void> {
    const { numQueryHeads, headDim } = SMALL_LAYER;
    // both sides score by the reference's queries
    await this.#read(({ query }) => query, numQueryHeads * headDim);
    this.#both(({ backend, query, sketch, sketchScores }) =>
      backend.sketchScores(ALL, query, sketch, sketchScores),
    );
    await this.#compare("sketchScores", ({ sketchScores }) => sketchScores, SKETCH_ERROR);
    this.#both(({ backend, query, pageScores }) => backend.pageScores(0, ALL, query, pageScores));
    await this.#compare("pageScores", ({ pageScores }) => pageScores);
    this.#both(({ backend, randomScores }) => backend.randomScores(0, ALL, SEED, randomScores));
    await this.#compare("randomScores", ({ randomScores }) => randomScores);
    this.#both(({ backend, query, scores }) => backend.scores(0, ALL, query, scores));
    await this.#compare("scores", ({ scores }) => scores);
  }

  /** From the scores of `scores`, pooled into those of kv heads, the best. */
  async pooled(): Promise<void> {
    for (const how of ["softmax-mean", "max"] as const) {
      this.#both(({ backend, scores, pooled }) => backend.poolScores(ALL, scores, how, pooled));
      await this.#compare(`poolScores, ${how} a kv head`, ({ pooled }) => pooled);
    }
    this.#both(({ backend, pooled, best }) => backend.topK(ALL, pooled, ENDS, best));
    const { numKvHeads } = SMALL_LAYER;
    const [actual, expected] = await this.#read(({ best }) => best.units, numKvHeads * NUM_BEST);
    let wrong = 0;
    for (let head = 0; head < numKvHeads; head++) {
      const ofHead = (units: Float32Array | Uint32Array) =>
        units.subarray(head * NUM_BEST, (head + 1) * NUM_BEST);
      const chosen = new Set(ofHead(actual));
      for (const unit of ofHead(expected)) if (!chosen.has(unit)) wrong++;
    }
    this.rows.push(selfTestRow("topK", wrong, 0));
  }

  #both(work: (side: Side) => void): void {
    work(this.#tested);
    work(this.#reference);
  }

  /** Compares the scores of the cached tokens. Those past the length are no one's, and zero in both. */
  async #compare(op: string, pick: (side: Side) => Scores, allowed = this.#allowed): Promise<void> {
    const { heads, unit, values } = pick(this.#reference);
    const capacity = values.shape[2] ?? 0;
    const length = Math.ceil((CHUNK_ROWS + 1) / unit);
    const count = (heads - 1) * capacity + length;
    const [actual, expected] = await this.#read((side) => pick(side).values, count);
    this.rows.push(selfTestRow(op, relativeError(actual, expected), allowed));
  }

  /** Reads the first `count` numbers of both sides; the tested side continues with the reference's. */
  async #read(pick: (side: Side) => TensorRef, count: number) {
    const actual = await this.#tested.backend.read(pick(this.#tested));
    const expected = (await this.#reference.backend.read(pick(this.#reference))).subarray(0, count);
    this.#tested.backend.write(pick(this.#tested), expected);
    return [actual.subarray(0, count), expected] as const;
  }
}
