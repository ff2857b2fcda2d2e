import type { TensorRef } from "../../base/tensor-ref.ts";
import { capacityOf } from "../../base/tensor-ref.ts";
import type { Backend, BlockGate, Scores, SequenceRange } from "../backend.ts";
import type { Arena } from "./arena.ts";
import type { KernelRunner } from "./kernel-runner.ts";
import { tensorOf } from "./refs.ts";

/** The ops of gates in the WASM backend: calls of the kernels. */
export class BlockGateOps {
  readonly #runner: KernelRunner;
  readonly #arena: Arena;
  readonly #sizes: Pick<Backend, "model" | "capacity">;
  /** Address of f32 [maxBatchSequences, numKvHeads, gateDim], for the largest gateDim so far. */
  #queries = { address: 0, gateDim: 0 };

  constructor(runner: KernelRunner, arena: Arena, sizes: Pick<Backend, "model" | "capacity">) {
    this.#runner = runner;
    this.#arena = arena;
    this.#sizes = sizes;
  }

  updateBlockKeys({ first, count }: SequenceRange, keys: TensorRef, gate: BlockGate): void {
    this.#runner.run(
      "updateBlockKeys",
      first,
      count,
      addressOf(keys),
      addressOf(gate.pools),
      addressOf(gate.blockKeys),
      addressOf(gate.k),
      addressOf(gate.kNorm),
      addressOf(gate.rope),
      gate.blockSize,
      gate.gateDim,
      gate.normEps,
    );
  }

  /** out: has room for the blocks of the range's sequences. */
  blockScores({ first, count }: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void {
    this.#runner.run(
      "blockScores",
      first,
      count,
      addressOf(query),
      this.#queriesFor(gate),
      addressOf(gate.blockKeys),
      addressOf(gate.q),
      addressOf(gate.qNorm),
      addressOf(gate.rope),
      gate.blockSize,
      gate.gateDim,
      gate.normEps,
      addressOf(out.values),
      capacityOf(out.values),
    );
  }

  #queriesFor({ gateDim }: BlockGate): number {
    const { model, capacity } = this.#sizes;
    if (gateDim > this.#queries.gateDim) {
      const bytes = 4 * capacity.maxBatchSequences * model.numKvHeads * gateDim;
      this.#queries = { address: this.#arena.allocate(bytes, "gate queries"), gateDim };
    }
    return this.#queries.address;
  }
}

function addressOf(tensor: TensorRef | undefined): number {
  return tensor ? tensorOf(tensor, "f32").address : 0;
}
