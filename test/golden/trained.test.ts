import { expect, it } from "vitest";
import type { Engine } from "../../src/engine/engine-api.ts";
import { place } from "../place/here.ts";
import { logitError } from "./logit-error.ts";

/** A checkpoint of `training/train.py --small` and its logits in PyTorch (`training/goldens.py small`). */
const FOLDER = "test/golden/trained";
const golden: {
  readonly training: { readonly lastLoss: Readonly<Record<string, number>> };
  readonly tokenIds: readonly number[];
  readonly logits: Readonly<Record<string, readonly number[]>>;
} = JSON.parse(await place.readText(`${FOLDER}/golden.json`));

it.each(["reference", "wasm"] as const)(
  "%s: what training/train.py exports opens, and gives PyTorch's logits within 1e-5 of the largest",
  async (backend) => {
    const engine = await place.openEngine({ model: FOLDER, backend, cacheDtype: "f32", attention: "full" });
    try {
      const logits = await engine.logits([...golden.tokenIds]);
      for (const [position, expected] of Object.entries(golden.logits))
        expect(logitError(logits, Number(position), expected), `position ${position}`).toBeLessThan(1e-5);
    } finally {
      await engine.close();
    }
  },
);

it("its chat template asks as the model was trained, and the model knows its format", async () => {
  const engine = await place.openEngine({ model: FOLDER, backend: "wasm", attention: "full" });
  try {
    const problem = "Find ab. Arithmetic is modulo 100.\nab=12";
    const generation = engine.generate({ messages: [{ role: "user", content: problem }], maxTokens: 4 });
    const { usage } = await generation.result();
    const prompt = `<|im_start|>user\n${problem}<|im_end|>\n<|im_start|>assistant\n<think>\n`;
    expect(usage.promptTokens).toBe(engine.tokenizer.encode(prompt).length);
    // A model that knows nothing has a loss of ln 512 = 6.24 a token.
    expect(Math.max(...Object.values(golden.training.lastLoss))).toBeLessThan(3);
    expect(await lossOf(engine, `${prompt}? ab=12\n</think>\n\nThe answer is \\boxed{12}.<|im_end|>\n`)).toBeLessThan(4);
  } finally {
    await engine.close();
  }
});

/** Mean cross entropy of the tokens of a text. */
async function lossOf(engine: Engine, text: string): Promise<number> {
  const ids = engine.tokenizer.encode(text);
  const logits = await engine.logits(ids);
  const size = logits.length / ids.length;
  let loss = 0;
  for (let i = 0; i + 1 < ids.length; i++) {
    const row = logits.subarray(i * size, (i + 1) * size);
    const largest = Math.max(...row);
    const sum = row.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    loss += Math.log(sum) + largest - (row[ids[i + 1] ?? 0] ?? 0);
  }
  return loss / (ids.length - 1);
}
