/** Requests whose answers follow a schema, a pattern or a choice, by models that would write anything. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, describe, expect, test } from "vitest";
import { RequestError } from "../../src/base/errors.ts";
import type { ConstraintSpec } from "../../src/constraint/constraint.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { byteTokenizer } from "../constraint/trial.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const tokenizer = byteTokenizer(['{"', '": ', '", "', '"}', "true", "name", "red", "green"]);
const END = tokenizer.tokenId("<end>") ?? -1;
const prompt = { tokenIds: [5, 80, 200], maxTokens: 80 };
const SCHEMA = {
  type: "object",
  properties: {
    name: { enum: ["red", "green", "blue"] },
    size: { type: "integer", minimum: 0, maximum: 99 },
  },
  required: ["name", "size"],
  additionalProperties: false,
};
const isValid = new Ajv2020().compile(SCHEMA);

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

describe.each(BACKENDS)("$name", ({ open }) => {
  async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, { tokenizer, eosTokenIds: [END], ...options });
    opened.push(engine);
    return engine;
  }

  test("answers satisfy the schema and end by themselves, sampled beside requests without one", async () => {
    const engine = await openEngine({ runsAhead: true });
    const free = { ...prompt, maxTokens: 30, ignoreEos: true } satisfies GenerationRequest;
    const alone = await engine.generate(free).result();
    const constrained = Array.from({ length: 6 }, (_, seed) =>
      engine.generate({ ...prompt, seed, temperature: 1.5, constraint: { schema: SCHEMA } }).result(),
    );
    const beside = engine.generate(free).result();
    const texts = new Set<string>();
    for (const { answer, finishReason, tokenIds } of await Promise.all(constrained)) {
      expect(isValid(JSON.parse(answer)), answer).toBe(true);
      expect(finishReason).toBe("stop");
      expect(tokenIds.at(-1)).toBe(END);
      texts.add(answer);
    }
    expect(texts.size).toBeGreaterThan(2);
    expect((await beside).tokenIds).toEqual(alone.tokenIds);
  });

  test("a constrained greedy answer is the same alone and in a batch", async () => {
    const engine = await openEngine();
    const specs: readonly ConstraintSpec[] = [
      { schema: SCHEMA },
      { regex: "[a-z]{3,9}\\d" },
      { choice: ["red", "green"] },
      { regex: "[a-z]{3,9}\\d" },
    ];
    const run = (constraint: ConstraintSpec) =>
      engine.generate({ ...prompt, temperature: 0, constraint }).result();
    const alone: (readonly number[])[] = [];
    for (const spec of specs) alone.push((await run(spec)).tokenIds);
    const together = await Promise.all(specs.map(run));
    expect(together.map(({ tokenIds }) => tokenIds)).toEqual(alone);
    expect(["red", "green"]).toContain(together[2]?.answer);
    expect(together[1]?.answer).toMatch(/^[a-z]{3,9}\d$/);
  });
});

describe("a constraint that cannot be", () => {
  const [backend] = BACKENDS;
  if (!backend) throw new Error("there is no backend");

  test("fails its request alone", async () => {
    const engine = await openTiny(backend.open, { tokenizer, eosTokenIds: [END] });
    opened.push(engine);
    const wrong = engine.generate({ ...prompt, constraint: { schema: { not: {} } } });
    const right = engine.generate({ ...prompt, constraint: { choice: ["green"] } });
    await expect(wrong.result()).rejects.toThrow('the keyword "not" is not supported');
    await expect(wrong.result()).rejects.toBeInstanceOf(RequestError);
    expect((await right.result()).answer).toBe("green");
  });

  test.each<[string, Partial<GenerationRequest>, string]>([
    ["beside ignoreEos", { ignoreEos: true, constraint: { json: true } }, "ignoreEos"],
    ["of no known kind", { constraint: { grammar: "x" } as unknown as ConstraintSpec }, "constraint must be"],
  ])("is refused at once: %s", async (_, more, reason) => {
    const engine = await openTiny(backend.open, { tokenizer, eosTokenIds: [END] });
    opened.push(engine);
    expect(() => engine.generate({ ...prompt, ...more })).toThrow(reason);
  });

  test("is refused by a model without a token that ends the answer, and by one whose tokens are not known as bytes", async () => {
    const endless = await openTiny(backend.open, { tokenizer });
    const plain = await openTiny(backend.open, { eosTokenIds: [1] });
    opened.push(endless, plain);
    expect(() => endless.generate({ ...prompt, constraint: { json: true } })).toThrow("stopTokenIds");
    await expect(plain.generate({ ...prompt, constraint: { json: true } }).result()).rejects.toThrow(
      "tokenizer",
    );
  });
});
