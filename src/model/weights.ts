import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  FeedForwardWeights,
} from "../backend/backend.ts";
import { dtypeBytes, type WeightDtype } from "../base/dtype.ts";
import { ModelFileError } from "../base/errors.ts";
import type { WeightRef } from "../base/tensor-ref.ts";
import type { TensorEntry } from "../load/safetensors.ts";
import type { ModelConfig } from "./config.ts";

/** Weights by their part in the decoder. */
export interface ModelWeights {
  readonly embedding: WeightRef; // [vocabSize, hiddenSize]
  readonly layers: readonly {
    readonly attentionInput: AttentionInputWeights;
    readonly attentionOutput: AttentionOutputWeights;
    readonly feedForward: FeedForwardWeights;
  }[];
  readonly norm: WeightRef;
  /** The embedding itself where the two are tied. */
  readonly output: WeightRef;
}

/** Bytes read from a file at a time: small beside any model, large beside a disk's latency. */
const SLICE_BYTES = 4 << 20;

/** A tensor found in the checkpoint, with the shape the config asks for. */
interface WeightPlan {
  readonly entry: TensorEntry;
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly cols: number;
}

type Find = (name: string, shape: readonly number[]) => WeightPlan;

/**
 * Finds and checks all weights, reserves their final places, then streams each into its place, once.
 * @throws ModelFileError naming the tensor, what the config asks for and what the file has, before any weight is read.
 */
export async function loadWeights(
  tensors: ReadonlyMap<string, TensorEntry>,
  config: ModelConfig,
  backend: Backend,
  checkpointName: string,
): Promise<ModelWeights> {
  const find: Find = (name, shape) => findWeight(tensors, name, shape, checkpointName);
  const names = nameEnds(tensors, config);
  checkWeights(tensors, config, checkpointName);
  if (
    config.tieWordEmbeddings &&
    names.output &&
    (await haveSameBytes(tensors, names.embedding, names.output))
  )
    names.output = undefined;
  const plans: WeightPlan[] = [];
  describeWeights(config, names, find, (plan) => plans.push(plan));
  const places = new Map<WeightPlan, WeightRef>();
  const reserved = plans.map((plan) => {
    const weight = backend.createWeight(plan.entry.name, plan.dtype, plan.rows, plan.cols);
    places.set(plan, weight);
    return weight;
  });
  let next = 0;
  const weights = describeWeights(config, names, find, () => reserved[next++]);
  for (const [plan, weight] of places) await stream(plan, weight, backend);
  return weights;
}

/**
 * Checks the tensors against the config from their headers alone.
 * @throws ModelFileError on a tensor that is missing, of another shape or dtype, or of a layer that the config lacks.
 */
export function checkWeights(
  tensors: ReadonlyMap<string, TensorEntry>,
  config: ModelConfig,
  checkpointName: string,
): void {
  const find: Find = (name, shape) => findWeight(tensors, name, shape, checkpointName);
  describeWeights(config, nameEnds(tensors, config), find, () => undefined);
  for (const name of tensors.keys()) {
    const layer = /^(?:model\.)?layers\.(\d+)\./.exec(name)?.[1];
    if (layer !== undefined && Number(layer) >= config.numLayers)
      throw new ModelFileError(
        `opening ${checkpointName}: tensor "${name}" is of layer ${layer}, but config.json has num_hidden_layers ` +
          `${config.numLayers}; config and weights belong to different models or versions`,
      );
  }
}

/** Names of the matrices at both ends of the decoder; output undefined: it is the embedding. */
interface EndNames {
  embedding: string;
  output: string | undefined;
}

const EMBEDDING = "model.embed_tokens.weight";
const OUTPUT = "lm_head.weight";

/**
 * Tied ends as `transformers` 5.17 ties them (`tie_weights`): whichever of the two is stored serves as both; where both
 * are stored and differ, each serves as itself.
 */
function nameEnds(tensors: ReadonlyMap<string, TensorEntry>, config: ModelConfig): EndNames {
  if (!config.tieWordEmbeddings) return { embedding: EMBEDDING, output: OUTPUT };
  const hasOutput = tensors.has(OUTPUT);
  const hasEmbedding = findEntry(tensors, EMBEDDING) !== undefined;
  if (hasOutput && !hasEmbedding) return { embedding: OUTPUT, output: undefined };
  return { embedding: EMBEDDING, output: hasOutput ? OUTPUT : undefined };
}

async function haveSameBytes(
  tensors: ReadonlyMap<string, TensorEntry>,
  a: string,
  b: string,
): Promise<boolean> {
  const first = findEntry(tensors, a);
  const second = findEntry(tensors, b);
  if (!first || !second || first.dtype !== second.dtype || first.sizeBytes !== second.sizeBytes) return false;
  for (let at = 0; at < first.sizeBytes; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, first.sizeBytes - at);
    const bytes = await first.source.read(first.offset + at, length);
    const others = await second.source.read(second.offset + at, length);
    if (bytes.some((byte, i) => byte !== others[i])) return false;
  }
  return true;
}

/** Every weight of the decoder in order, each handed to `place`. */
function describeWeights<T>(
  config: ModelConfig,
  names: Readonly<EndNames>,
  find: Find,
  place: (plan: WeightPlan) => T,
) {
  const { hiddenSize, headDim, intermediateSize, vocabSize } = config;
  const queryWidth = config.numQueryHeads * headDim;
  const kvWidth = config.numKvHeads * headDim;
  const matrix = (name: string, rows: number, cols: number) => place(find(`${name}.weight`, [rows, cols]));
  const vector = (name: string, size: number) => place(find(name, [size]));
  const embedding = place(find(names.embedding, [vocabSize, hiddenSize]));
  const layers = Array.from({ length: config.numLayers }, (_, layer) => {
    const attention = `model.layers.${layer}.self_attn`;
    const mlp = `model.layers.${layer}.mlp`;
    return {
      attentionInput: {
        norm: vector(`model.layers.${layer}.input_layernorm.weight`, hiddenSize),
        q: matrix(`${attention}.q_proj`, queryWidth, hiddenSize),
        k: matrix(`${attention}.k_proj`, kvWidth, hiddenSize),
        v: matrix(`${attention}.v_proj`, kvWidth, hiddenSize),
        ...(config.hasQkvBias && {
          qBias: vector(`${attention}.q_proj.bias`, queryWidth),
          kBias: vector(`${attention}.k_proj.bias`, kvWidth),
          vBias: vector(`${attention}.v_proj.bias`, kvWidth),
        }),
        ...(config.family.hasQkNorm && {
          qNorm: vector(`${attention}.q_norm.weight`, headDim),
          kNorm: vector(`${attention}.k_norm.weight`, headDim),
        }),
      },
      attentionOutput: {
        o: matrix(`${attention}.o_proj`, hiddenSize, queryWidth),
        ...(config.hasOutputBias && { oBias: vector(`${attention}.o_proj.bias`, hiddenSize) }),
      },
      feedForward: {
        norm: vector(`model.layers.${layer}.post_attention_layernorm.weight`, hiddenSize),
        gate: matrix(`${mlp}.gate_proj`, intermediateSize, hiddenSize),
        up: matrix(`${mlp}.up_proj`, intermediateSize, hiddenSize),
        down: matrix(`${mlp}.down_proj`, hiddenSize, intermediateSize),
      },
    };
  });
  const norm = vector("model.norm.weight", hiddenSize);
  const output = names.output ? place(find(names.output, [vocabSize, hiddenSize])) : embedding;
  return { embedding, layers, norm, output };
}

/** Some checkpoints are saved without the prefix of the model around the decoder. */
function findEntry(tensors: ReadonlyMap<string, TensorEntry>, name: string): TensorEntry | undefined {
  return tensors.get(name) ?? tensors.get(name.replace(/^model\./, ""));
}

function findWeight(
  tensors: ReadonlyMap<string, TensorEntry>,
  name: string,
  shape: readonly number[],
  checkpointName: string,
): WeightPlan {
  const entry = findEntry(tensors, name);
  if (!entry)
    throw new ModelFileError(
      `opening ${checkpointName}: tensor "${name}" is missing; config.json asks for it with shape [${shape}]; ` +
        "config and weights belong to different models or versions",
    );
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
    throw new ModelFileError(
      `opening ${checkpointName}: tensor "${entry.name}" of ${entry.source.name} has shape [${entry.shape}], ` +
        `but config.json asks for [${shape}]`,
    );
  if (!entry.dtype)
    throw new ModelFileError(
      `opening ${checkpointName}: tensor "${entry.name}" is stored as ${entry.fileDtype}; supported are BF16, F16 and F32`,
    );
  const cols = shape[shape.length - 1] ?? 1;
  return { entry, dtype: entry.dtype, rows: shape.length === 1 ? 1 : (shape[0] ?? 1), cols };
}

async function stream(
  { entry, dtype, rows: numRows, cols }: WeightPlan,
  weight: WeightRef,
  backend: Backend,
): Promise<void> {
  const bytes = cols * dtypeBytes(dtype);
  const rowsAtOnce = Math.max(8, Math.floor(SLICE_BYTES / bytes / 8) * 8);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    await backend.writeWeight(weight, row, await entry.source.read(entry.offset + row * bytes, rows * bytes));
  }
}
