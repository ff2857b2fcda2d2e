import { expect, test } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { Attention } from "../attention/attend.ts";
import { TensorPool } from "../attention/workspace.ts";
import { Decoder } from "../model/decoder.ts";
import type { ModelWeights } from "../model/weights.ts";
import type { Backend } from "./backend.ts";
import { decoderBytes } from "./decoder-memory.ts";
import { createReferenceBackend } from "./reference/reference-backend.ts";

test("the decoder and three sets of scores take, to the byte, what backends keep free beside 64 MiB of selections", async () => {
  // 500 positions are no power of two, 3 sequences fewer than the least rows of logits
  const [model, capacity] = sizesOf({ maxSequenceLength: 500, maxBatchSequences: 3, maxBatchRows: 20 });
  const backend = await createReferenceBackend(model, capacity);
  let bytes = 0;
  const counting: Backend = Object.assign(Object.create(backend), {
    createTensor: (...given: Parameters<Backend["createTensor"]>) => {
      bytes += given[1].reduce((product, size) => product * size, 4);
      return backend.createTensor(...given);
    },
  });
  const attentionModel = {
    ...model,
    ...{ pageSize: 16, defaultSelectionLayers: [0], defaultSelectionLayersFrom: "guess" as const },
  };
  const noWeights = { layers: [] } as Partial<ModelWeights> as ModelWeights; // the decoder reads the others when it steps
  new Decoder(counting, noWeights, new Attention(counting, attentionModel));
  const pool = new TensorPool(counting);
  for (let set = 0; set < 3; set++) pool.take("f32", 3, model.numQueryHeads, capacity.maxSequenceLength);
  expect(decoderBytes(model, capacity)).toBe(bytes + (64 << 20));
  await backend.close();
});
