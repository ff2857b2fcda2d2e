import type { TensorRef } from "../../base/tensor-ref.ts";
import type { BlockGate, Scores, SequenceRange } from "../backend.ts";
import type { CommandLists } from "./command-lists.ts";
import { type BatchSizes, type GpuContext, stepConstants } from "./context.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Grids of scores grow by so many workgroups of 64 blocks. */
const GRID_STEP = 4;

/** The ops of gates: pools and keys of blocks, and their scores. They read nothing back to the host. */
export class BlockGateOps {
  readonly #context: GpuContext;
  readonly #lists: Readonly<Record<"pools" | "keys" | "scores", CommandLists>>;
  /** f32 [maxBatchSequences, numKvHeads, gateDim], for the largest gateDim so far. */
  #queries: NumberedBuffer | undefined;

  constructor(context: GpuContext) {
    this.#context = context;
    const newLists = () => context.recorder.newCommandLists();
    this.#lists = { pools: newLists(), keys: newLists(), scores: newLists() };
  }

  updateBlockKeys(batch: BatchSizes, range: SequenceRange, keys: TensorRef, gate: BlockGate): void {
    const { recorder, capacity } = this.#context;
    const from = WebGpuTensor.of(keys);
    const pools = WebGpuTensor.of(gate.pools);
    let pages = 0;
    let blocks = 0;
    for (let s = range.first; s < range.first + range.count; s++) {
      const [length, start] = [batch.lengths[s], batch.lengths[s] - batch.rowCounts[s]];
      pages = Math.max(pages, Math.ceil(length / capacity.pageSize) - Math.floor(start / capacity.pageSize));
      blocks = Math.max(blocks, Math.floor(length / gate.blockSize) - Math.floor(start / gate.blockSize));
    }
    const node = this.#lists.pools.at(range.first).at(range.count).at(from.id).at(pools.id).at(pages);
    if (!recorder.replay(node)) recorder.keep(node, () => this.#pool(range, from, pools, pages));
    // a dry run compiles the kernel of blocks as well
    if (blocks === 0 && !recorder.isDry) return;
    const numBlocks = Math.max(1, blocks);
    const below = this.#lists.keys.at(range.first).at(range.count).at(pools.id).at(numBlocks);
    if (!recorder.replay(below)) recorder.keep(below, () => this.#blockKeys(range, gate, numBlocks));
  }

  #pool(range: SequenceRange, keys: WebGpuTensor, pools: WebGpuTensor, pages: number): void {
    const { recorder, stepBuffer, model } = this.#context;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel(["step", "block-pools"], {
        ...stepConstants(this.#context),
        HEAD_DIM: model.headDim,
      }),
      params: { first_sequence: range.first },
      bindings: { step: stepBuffer.storage, keys, pools },
      grid: [Math.ceil((model.numKvHeads * model.headDim) / 64), pages, range.count],
    });
  }

  #blockKeys(range: SequenceRange, gate: BlockGate, blocks: number): void {
    const { recorder, stepBuffer, model } = this.#context;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel(["step", "gate-project", "block-keys"], {
        ...stepConstants(this.#context),
        ...this.#projection(gate, 3 * model.headDim, gate.kNorm),
        HEAD_DIM: model.headDim,
        BLOCK_SIZE: gate.blockSize,
      }),
      params: { first_sequence: range.first },
      bindings: {
        ...{ step: stepBuffer.storage, pools: WebGpuTensor.of(gate.pools) },
        ...{ weights: WebGpuTensor.of(gate.k), norm: bufferOf(gate.kNorm), rope: bufferOf(gate.rope) },
        block_keys: WebGpuTensor.of(gate.blockKeys),
      },
      grid: [model.numKvHeads, blocks, range.count],
    });
  }

  /** Constants of gate-project.wgsl. */
  #projection({ gateDim, normEps, rope }: BlockGate, width: number, norm: TensorRef | undefined) {
    const { traits } = this.#context;
    const threads = traits.isSoftware ? 64 : Math.min(256, traits.maxInvocations);
    return {
      THREADS: threads,
      WIDTH: width,
      GATE_DIM: gateDim,
      PARTS: Math.max(1, Math.floor(threads / gateDim)),
      NORMED: norm !== undefined,
      ROTATED: rope !== undefined,
      EPS: normEps,
    };
  }

  blockScores(batch: BatchSizes, range: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void {
    const { recorder } = this.#context;
    let longest = 0;
    for (let s = range.first; s < range.first + range.count; s++)
      longest = Math.max(longest, batch.lengths[s]);
    const gridSteps = Math.ceil(longest / (64 * GRID_STEP * gate.blockSize));
    const from = WebGpuTensor.of(query);
    const weights = WebGpuTensor.of(gate.q);
    const values = WebGpuTensor.of(out.values);
    const queries = this.#queriesFor(gate);
    const node = this.#lists.scores
      .at(range.first)
      .at(range.count)
      .at(from.id)
      .at(weights.id)
      .at(values.id)
      .at(queries.id)
      .at(gridSteps);
    if (recorder.replay(node)) return;
    recorder.keep(node, () => {
      this.#project(range, from, gate, queries);
      this.#score(range, gate, { queries, values, gridSteps });
    });
  }

  #project(range: SequenceRange, query: WebGpuTensor, gate: BlockGate, queries: NumberedBuffer): void {
    const { recorder, stepBuffer, model } = this.#context;
    const { numQueryHeads, numKvHeads, headDim } = model;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel(["step", "gate-project", "gate-queries"], {
        ...stepConstants(this.#context),
        ...this.#projection(gate, (numQueryHeads / numKvHeads) * headDim, gate.qNorm),
      }),
      params: { first_sequence: range.first },
      bindings: {
        ...{ step: stepBuffer.storage, query, queries },
        ...{ weights: WebGpuTensor.of(gate.q), norm: bufferOf(gate.qNorm), rope: bufferOf(gate.rope) },
      },
      grid: [numKvHeads, range.count],
    });
  }

  #score(
    range: SequenceRange,
    gate: BlockGate,
    to: { readonly queries: NumberedBuffer; readonly values: WebGpuTensor; readonly gridSteps: number },
  ): void {
    const { recorder, stepBuffer, model } = this.#context;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel(["step", "block-scores"], {
        ...stepConstants(this.#context),
        GATE_DIM: gate.gateDim,
        BLOCK_SIZE: gate.blockSize,
      }),
      params: { first_sequence: range.first, capacity: to.values.capacity },
      bindings: {
        ...{ step: stepBuffer.storage, queries: to.queries, scores: to.values },
        block_keys: WebGpuTensor.of(gate.blockKeys),
      },
      grid: [to.gridSteps * GRID_STEP, model.numKvHeads, range.count],
    });
  }

  #queriesFor({ gateDim }: BlockGate): NumberedBuffer {
    const { buffers, capacity, model, recorder } = this.#context;
    const bytes = 4 * capacity.maxBatchSequences * model.numKvHeads * gateDim;
    if (this.#queries && this.#queries.buffer.size >= bytes) return this.#queries;
    if (this.#queries) {
      recorder.submit();
      buffers.destroy(this.#queries);
    }
    this.#queries = buffers.storage("gate queries", bytes);
    return this.#queries;
  }
}

function bufferOf(tensor: TensorRef | undefined): WebGpuTensor | "unused" {
  return tensor ? WebGpuTensor.of(tensor) : "unused";
}
