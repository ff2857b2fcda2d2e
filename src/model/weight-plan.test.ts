import { expect, test } from "vitest";
import { memorySource } from "../../test/golden/memory-folder.ts";
import { ModelFileError } from "../base/errors.ts";
import { dimensionsOf } from "../base/tensor-ref.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import { parseModelConfig } from "./config.ts";
import { WeightFinder } from "./weight-finder.ts";
import { describeWeights, nameEmbeddings } from "./weight-plan.ts";
import { readRows, type WeightPlan } from "./weight-rows.ts";
import { checkWeights } from "./weights.ts";

const SIZES = {
  ...{ vocab_size: 5, hidden_size: 4, intermediate_size: 6, num_hidden_layers: 1, num_attention_heads: 2 },
  ...{ num_key_value_heads: 1, max_position_embeddings: 64, tie_word_embeddings: true },
};
const PHI = { ...SIZES, architectures: ["Phi3ForCausalLM"], hidden_size: 16, partial_rotary_factor: 0.5 };
const MOE = {
  ...{
    ...SIZES,
    architectures: ["Qwen3MoeForCausalLM"],
    head_dim: 2,
    num_experts: 3,
    num_experts_per_tok: 1,
  },
  moe_intermediate_size: 2,
};
const GEMMA = { ...SIZES, architectures: ["Gemma3ForCausalLM"], head_dim: 2 };
const LAYER = "model.layers.0";

/** A tensor in f32 whose element i is `first` + i. */
function entry(name: string, shape: readonly number[], first = 0): TensorEntry {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => first + i);
  const source = memorySource(new Uint8Array(values.buffer), "w");
  return { name, fileDtype: "F32", format: "f32", shape, source, offset: 0, sizeBytes: values.byteLength };
}

/** Plans of all weights of a checkpoint. */
function planAll(json: object, entries: readonly TensorEntry[]) {
  const config = parseModelConfig(json, "config.json");
  const tensors = new Map(entries.map((one) => [one.name, one]));
  const finder = new WeightFinder(tensors, "folder");
  return {
    ...{ config, tensors },
    plans: () => describeWeights(config, nameEmbeddings(finder, config), finder, (plan) => plan),
  };
}

async function valuesOf(plan: WeightPlan, firstRow = 0, numRows = dimensionsOf(plan.spec).rows) {
  const bytes = await readRows(plan, firstRow, numRows);
  return [...new Float32Array(bytes.slice().buffer)];
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Tensors of the tests' attention with heads of `headDim`, apart from q, k and v. */
const common = (hidden: number, headDim: number): TensorEntry[] => [
  entry("model.embed_tokens.weight", [5, hidden]),
  entry("model.norm.weight", [hidden]),
  entry(`${LAYER}.input_layernorm.weight`, [hidden]),
  entry(`${LAYER}.post_attention_layernorm.weight`, [hidden]),
  entry(`${LAYER}.self_attn.o_proj.weight`, [hidden, 2 * headDim]),
];
const qkv = (hidden: number, headDim: number): TensorEntry[] => [
  entry(`${LAYER}.self_attn.q_proj.weight`, [2 * headDim, hidden]),
  entry(`${LAYER}.self_attn.k_proj.weight`, [headDim, hidden]),
  entry(`${LAYER}.self_attn.v_proj.weight`, [headDim, hidden]),
];
const headNorms = [
  entry(`${LAYER}.self_attn.q_norm.weight`, [2]),
  entry(`${LAYER}.self_attn.k_norm.weight`, [2]),
];

test("fused projections are rows of one tensor; partly rotary heads are reordered so that pairs lie half a head apart", async () => {
  const { plans } = planAll(PHI, [
    ...common(16, 8),
    entry(`${LAYER}.self_attn.qkv_proj.weight`, [32, 16]),
    entry(`${LAYER}.mlp.gate_up_proj.weight`, [12, 16]),
    entry(`${LAYER}.mlp.down_proj.weight`, [16, 6]),
  ]);
  const [layer] = plans().layers;
  const rowsOf = async (plan: WeightPlan | undefined) =>
    plan ? (await valuesOf(plan)).filter((_, i) => i % 16 === 0).map((first) => first / 16) : undefined;
  // Of a head of 8, elements 0 and 2, 1 and 3 turn together; 4 to 7 stay.
  const head = (first: number) => [0, 1, 4, 5, 2, 3, 6, 7].map((i) => first + i);
  expect(await rowsOf(layer?.attentionInput.q)).toEqual([...head(0), ...head(8)]);
  expect(await rowsOf(layer?.attentionInput.k)).toEqual(head(16));
  expect(await rowsOf(layer?.attentionInput.v)).toEqual(range(24, 32));
  if (layer?.feedForward.kind !== "dense") throw new TypeError("the layer has experts");
  expect(await rowsOf(layer.feedForward.gate)).toEqual(range(0, 6));
  expect(await rowsOf(layer.feedForward.up)).toEqual(range(6, 12));
  // A slice of a reordered weight reads little more than itself.
  const slice = layer.attentionInput.q;
  expect(await valuesOf(slice, 8, 1)).toEqual(range(8 * 16, 9 * 16));
});

const router = entry(`${LAYER}.mlp.gate.weight`, [3, 4]);
const attention = [...common(4, 2), ...qkv(4, 2), ...headNorms, router];
// The values of every spelling: expert e's gate from 100 e on, its up from 100 e + 8, its down from 1000 + 8 e.
const apart = range(0, 3).flatMap((e) => [
  entry(`${LAYER}.mlp.experts.${e}.gate_proj.weight`, [2, 4], 16 * e),
  entry(`${LAYER}.mlp.experts.${e}.up_proj.weight`, [2, 4], 16 * e + 8),
  entry(`${LAYER}.mlp.experts.${e}.down_proj.weight`, [4, 2], 1000 + 8 * e),
]);

test("experts are stacked from a tensor each, from halves of one, and from one of all", async () => {
  const gate = [...range(0, 8), ...range(16, 24), ...range(32, 40)];
  const of = async (entries: readonly TensorEntry[]) => {
    const { plans, config, tensors } = planAll(MOE, [...attention, ...entries]);
    expect(checkWeights(tensors, config, "folder").ignored).toEqual([]);
    const feedForward = plans().layers[0]?.feedForward;
    if (feedForward?.kind !== "experts") throw new TypeError("the layer has no experts");
    expect(feedForward.gate.spec).toMatchObject({ kind: "matrix", rows: 2, cols: 4, experts: 3 });
    expect(feedForward.down.spec).toMatchObject({ kind: "matrix", rows: 4, cols: 2, experts: 3 });
    expect(await valuesOf(feedForward.router)).toEqual(range(0, 12));
    expect(await valuesOf(feedForward.down)).toEqual(range(1000, 1024));
    expect(await valuesOf(feedForward.gate, 1, 3)).toEqual((await valuesOf(feedForward.gate)).slice(4, 16));
    return { gate: await valuesOf(feedForward.gate), up: await valuesOf(feedForward.up) };
  };
  const expected = { gate, up: gate.map((value) => value + 8) };
  expect(await of(apart)).toEqual(expected);
  const down = (name: string) => entry(`${LAYER}.mlp.experts.${name}`, [3, 4, 2], 1000);
  expect(await of([entry(`${LAYER}.mlp.experts.gate_up_proj`, [3, 4, 4]), down("down_proj")])).toEqual(
    expected,
  );
  const whole = ["gate", "up"].map((name, i) =>
    entry(`${LAYER}.mlp.experts.${name}_proj.weight`, [3, 2, 4], 100 * i),
  );
  expect(await of([...whole, down("down_proj.weight")])).toEqual({ gate: range(0, 24), up: range(100, 124) });
});

test("experts of several formats, or of a missing one, are refused by name", () => {
  const name = `${LAYER}.mlp.experts.1.up_proj.weight`;
  const change = (make: (one: TensorEntry) => TensorEntry[]) => () =>
    planAll(MOE, [...attention, ...apart.flatMap((one) => (one.name === name ? make(one) : [one]))]).plans();
  const halves = change((one) => [{ ...one, fileDtype: "F16", format: "f16" }]);
  expect(halves).toThrow(ModelFileError);
  expect(halves).toThrow(`"${name}" is in F16`);
  expect(change(() => [])).toThrow(`"${name}" is missing`);
});

const gemmaTensors = [
  ...[...common(4, 2), ...qkv(4, 2), ...headNorms],
  ...["pre_feedforward", "post_feedforward"].map((name) =>
    entry(`${LAYER}.${name}_layernorm.weight`, [4], 7),
  ),
  ...["gate", "up"].map((name) => entry(`${LAYER}.mlp.${name}_proj.weight`, [6, 4])),
  entry(`${LAYER}.mlp.down_proj.weight`, [4, 6]),
];

test("Gemma's norms get their 1, unless the file includes it", async () => {
  const includesOne = (name: string, one: TensorEntry) =>
    one.name.includes(name) ? { ...one, includesOne: true } : one;
  const { plans } = planAll(
    GEMMA,
    gemmaTensors.map((one) => includesOne("pre_feedforward", one)),
  );
  const { layers, norm } = plans();
  const feedForward = layers[0]?.feedForward;
  if (feedForward?.kind !== "dense" || !feedForward.outputNorm)
    throw new TypeError("no output norm is planned");
  expect(await valuesOf(norm)).toEqual(range(1, 5));
  expect(await valuesOf(feedForward.outputNorm)).toEqual(range(8, 12));
  expect(await valuesOf(feedForward.norm)).toEqual(range(7, 11));
  expect(layers[0]?.attentionOutput.outputNorm?.spec.name).toBe(`${LAYER}.post_attention_layernorm.weight`);
});

test("a norm in bf16 plus 1 is exact in f32", async () => {
  const halves = new Uint16Array([0x3b80, 0xbf00]); // 2^-8, whose sum with 1 bf16 cannot hold, and -0.5
  const source = memorySource(new Uint8Array(halves.buffer), "w");
  const name = `${LAYER}.self_attn.q_norm.weight`;
  const stored: TensorEntry = {
    name,
    fileDtype: "BF16",
    format: "bf16",
    shape: [2],
    source,
    offset: 0,
    sizeBytes: 4,
  };
  const { plans } = planAll(GEMMA, [...gemmaTensors.filter((one) => one.name !== name), stored]);
  const plan = plans().layers[0]?.attentionInput.qNorm;
  if (!plan) throw new TypeError("no norm of queries is planned");
  expect(plan.spec.format).toBe("f32");
  expect(await valuesOf(plan)).toEqual([1 + 2 ** -8, 0.5]);
});

test.each([
  "language_model.model.",
  "model.language_model.",
])("the text model's tensors are found under %s, the vision tower's ignored", (prefix) => {
  const renamed = gemmaTensors.map((one) => ({ ...one, name: one.name.replace(/^model\./, prefix) }));
  const vision = entry("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", [2, 2]);
  const { config, tensors } = planAll(GEMMA, [...renamed, vision]);
  expect(checkWeights(tensors, config, "folder").ignored).toEqual([vision.name]);
  const unknown = `${prefix}layers.0.mlp.extra.weight`;
  tensors.set(unknown, entry(unknown, [1]));
  expect(() => checkWeights(tensors, config, "folder")).toThrow("stands in a layer");
});

test("rows and biases in another order in the file come in Hugging Face's", async () => {
  const rowOrder = (row: number) => row ^ 1;
  const json = { ...SIZES, architectures: ["Qwen2ForCausalLM"] };
  const biases = ["q", "k", "v"].map((name, i) =>
    entry(`${LAYER}.self_attn.${name}_proj.bias`, [i === 0 ? 4 : 2]),
  );
  const entries = [...gemmaTensors, ...biases].filter(({ name }) => !/q_norm|k_norm|feedforward/.test(name));
  const { plans } = planAll(
    json,
    entries.map((one) => (/q_proj/.test(one.name) ? { ...one, rowOrder } : one)),
  );
  const input = plans().layers[0]?.attentionInput;
  if (!input?.qBias || !input.kBias) throw new TypeError("no biases are planned");
  expect(await valuesOf(input.qBias)).toEqual([1, 0, 3, 2]);
  expect(await valuesOf(input.kBias)).toEqual([0, 1]);
  expect(await valuesOf(input.q, 1, 2)).toEqual([...range(0, 4), ...range(12, 16)]);
});
