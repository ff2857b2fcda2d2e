/** SeerAttention-R against PyTorch: the gates of two checkpoints in both forms of files, and the tokens that they lead to. */
import { describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine-api.ts";
import { place } from "../place/here.ts";
import { BACKENDS } from "./backends.ts";

interface Golden {
  readonly model: string;
  readonly budget: number;
  readonly prompt_ids: readonly number[];
  readonly greedy: readonly number[];
  /** Tokens under a threshold in place of the budget. */
  readonly threshold?: number;
  readonly greedy_above?: readonly number[];
  /** With full attention. */
  readonly dense: readonly number[];
  /** The first two and the last two weights of the last layer's gate, for the test of the reader. */
  readonly last_layer: Readonly<Record<"q" | "k", readonly number[]>>;
}

const GOLDENS = JSON.parse(await place.readText("test/golden/seer/golden.json")) as readonly Golden[];

const goldensOf = ({ checkpoints }: (typeof BACKENDS)[number]) =>
  GOLDENS.filter(({ model }) => checkpoints?.includes(model) ?? true);

describe.each(BACKENDS.filter((backend) => goldensOf(backend).length > 0))("$name", (backend) => {
  test.each(
    goldensOf(backend).flatMap((golden) => [
      [golden.model, `budget=${golden.budget}`, golden.greedy, golden] as const,
      ...(golden.greedy_above
        ? [[golden.model, `threshold=${golden.threshold}`, golden.greedy_above, golden] as const]
        : []),
    ]),
  )(`%s, %s: the tokens of its gate in PyTorch${backend.isRounded ? ", at first" : ""}, which full attention does not give`, async (model, rule, greedy, golden) => {
    const attention = `seer-attention-r:gate=test/golden/seer/${model},${rule}`;
    const engine: Engine = await place.openEngine({ ...backend.options, model: `test/golden/hf/${model}` });
    const generation = engine.generate({
      ...{ tokenIds: golden.prompt_ids, maxTokens: greedy.length, ignoreEos: true, temperature: 0 },
      attention,
    });
    const { tokenIds } = await generation.result();
    await engine.close();
    const differsAt = greedy.findIndex((token, i) => token !== golden.dense[i]);
    expect(differsAt).toBeGreaterThanOrEqual(0);
    const compared = backend.isRounded ? differsAt + 1 : greedy.length;
    expect(tokenIds.slice(0, compared)).toEqual(greedy.slice(0, compared));
  });
});
