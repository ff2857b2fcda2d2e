import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { CommandLists } from "./command-lists.ts";
import { type GpuContext, stepConstants } from "./context.ts";
import { LinearOps } from "./linear-ops.ts";
import { type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import { weightConstants, weightFiles } from "./weight-files.ts";

/** The embedding of the step's tokens. */
export class EmbedOps {
  readonly #context: GpuContext;
  readonly #sampledTokens: () => NumberedBuffer;
  readonly #lists: CommandLists;

  /** sampledTokens: the buffer of the tokens that the last sample chose */
  constructor(context: GpuContext, sampledTokens: () => NumberedBuffer) {
    this.#context = context;
    this.#sampledTokens = sampledTokens;
    this.#lists = context.recorder.newCommandLists();
  }

  embed(numRows: number, embedding: WeightRef, x: TensorRef): void {
    const weight = WebGpuWeight.of(embedding);
    const out = WebGpuTensor.of(x);
    const node = this.#lists.at(out.id).at(weight.id).at(numRows);
    if (!this.#context.recorder.replay(node)) this.#keep(node, weight, out, numRows);
  }

  #keep(node: CommandLists, embedding: WebGpuWeight, out: WebGpuTensor, numRows: number): void {
    const { recorder, stepBuffer, model } = this.#context;
    const { hiddenSize, vocabSize } = model;
    const weight = LinearOps.weight(embedding, vocabSize, hiddenSize);
    recorder.keep(node, () => {
      const files = weightFiles(weight.format, { floats: "embed-floats", quantised: "embed-quantised" });
      const kernel = recorder.kernel([...files, "step", "embed"], {
        ...stepConstants(this.#context),
        ...weightConstants(weight.format, hiddenSize),
        COLS: hiddenSize,
        STRIDE: weight.stride,
        SCALE: model.embeddingScale,
      });
      for (const slice of weight.slices)
        recorder.dispatch({
          category: "rest",
          kernel,
          params: { first_vector: slice.offset / 16, first: slice.firstRow, rows: slice.rows },
          bindings: {
            weights_first: slice.slab,
            step: stepBuffer.storage,
            sampled: this.#sampledTokens(),
            x: out,
          },
          grid: [numRows],
        });
    });
  }
}
