/** A published GGUF file against Python (make-real-fixtures.py): every value of its tensors, and logits. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { testModel } from "../../scripts/fetch-test-models.mjs";
import { decodeWeights } from "../../src/base/weight-format.ts";
import { readGgufHeader } from "../../src/load/gguf/header.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { openEngine } from "../../src/node/index.ts";
import { repositoryPath } from "./open-fixture.ts";

interface Golden {
  readonly tensors: string;
  readonly input_ids: readonly number[];
  /** `logits` holds every so many of the last position. */
  readonly every: number;
  readonly logits: readonly number[];
}

const MODEL = "smollm2.gguf";
const golden: Golden = JSON.parse(readFileSync(repositoryPath("test/golden/real-models.json"), "utf8"))[MODEL];

test("all 135 million values decode to the bits of Python's package", async () => {
  const folder = await openFileFolder(testModel(MODEL));
  const source = await folder.open(MODEL);
  if (!source) throw new Error(`${MODEL} did not open`);
  const { tensors } = await readGgufHeader(source);
  const digest = createHash("sha256");
  for (const { type, shape, offset, sizeBytes } of tensors) {
    if (!type.format) throw new Error(`${type.name} has no decoder`);
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
    decodeWeights(await source.read(offset, sizeBytes), type.format, values);
    digest.update(new Uint8Array(values.buffer));
  }
  await source.close?.();
  expect(digest.digest("hex")).toBe(golden.tensors);
});

/** The reference decodes the blocks exactly; other backends may round activations to the blocks' precision. */
test.each([
  ["reference", 1e-10],
  ["wasm", 1e-3],
] as const)("%s: logits within an NMSE of %f of transformers with the decoded weights", async (backend, most) => {
  const engine = await openEngine({ model: testModel(MODEL), backend, contextLength: 64 });
  const logits = await engine.logits(golden.input_ids);
  await engine.close();
  const { every, input_ids: ids } = golden;
  const last = ((ids.length - 1) * logits.length) / ids.length;
  let error = 0;
  let scale = 0;
  golden.logits.forEach((expected, i) => {
    error += (logits[last + i * every] - expected) ** 2;
    scale += expected ** 2;
  });
  expect(error / scale).toBeLessThan(most);
});
