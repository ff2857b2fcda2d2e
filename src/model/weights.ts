import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  FeedForwardWeights,
} from "../backend/backend.ts";
import { throwIfAborted } from "../base/abort.ts";
import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { dimensionsOf, type WeightRef, type WeightSpec } from "../base/tensor-ref.ts";
import { isFloatFormat, rowBytes } from "../base/weight-format.ts";
import { quantizerOf } from "../load/quantization.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import type { ModelConfig } from "./config.ts";

/** Weights by their role in the decoder. */
export interface ModelWeights {
  readonly embedding: WeightRef; // [vocabSize, hiddenSize]
  readonly layers: readonly {
    readonly attentionInput: AttentionInputWeights;
    readonly attentionOutput: AttentionOutputWeights;
    readonly feedForward: FeedForwardWeights;
  }[];
  readonly norm: WeightRef;
  /** The embedding if the two are tied. */
  readonly output: WeightRef;
}

/** Bytes of one read from a file: few beside any model, many beside a disk's latency. */
const SLICE_BYTES = 4 << 20;

/** A tensor of the checkpoint, and the weight that the config asks for. */
interface WeightPlan {
  readonly entry: TensorEntry;
  readonly spec: WeightSpec;
}

type Find = (name: string, shape: readonly number[]) => WeightPlan;

/**
 * Finds and checks all weights, reserves their final places, then streams each into its place, once.
 * @throws ModelFileError naming the tensor, what the config asks for and what the file has, before any weight is read;
 * AbortedError between two slices.
 */
export async function loadWeights(
  tensors: ReadonlyMap<string, TensorEntry>,
  config: ModelConfig,
  backend: Backend,
  checkpointName: string,
  signal?: AbortSignal,
): Promise<ModelWeights> {
  const find: Find = (name, shape) => findWeight(tensors, name, shape, checkpointName);
  const names = nameEmbeddings(tensors, config);
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
    const weight = backend.createWeight(plan.spec);
    places.set(plan, weight);
    return weight;
  });
  let next = 0;
  const weights = describeWeights(config, names, find, () => reserved[next++]);
  for (const [plan, weight] of places) await stream(plan, weight, backend, signal);
  return weights;
}

/** Outcome of a check of the files against the config. */
export interface WeightCheck {
  /** Names of tensors outside the layers that no op uses; `transformers` ignores them too. */
  readonly ignored: readonly string[];
  /** Bytes of the weights that the config asks for. */
  readonly usedBytes: number;
}

/**
 * Checks the tensors against the config from their headers alone.
 * promised: tensors that an index names and no file has, with their files.
 * @throws ModelFileError on a tensor that is missing, has another shape or format, belongs to a layer that the config lacks,
 * or is unknown within a layer: the weights are another model's then.
 */
export function checkWeights(
  tensors: ReadonlyMap<string, TensorEntry>,
  config: ModelConfig,
  checkpointName: string,
  promised: ReadonlyMap<string, string> = new Map(),
): WeightCheck {
  const used = new Set<TensorEntry>();
  const find: Find = (name, shape) => {
    const plan = findWeight(tensors, name, shape, checkpointName, promised);
    used.add(plan.entry);
    return plan;
  };
  describeWeights(config, nameEmbeddings(tensors, config), find, () => undefined);
  const ignored: string[] = [];
  for (const entry of tensors.values()) {
    if (used.has(entry)) continue;
    judgeUnused(entry.name, config, checkpointName);
    if (!BUFFERS.test(entry.name)) ignored.push(entry.name);
  }
  let usedBytes = 0;
  for (const { sizeBytes } of used) usedBytes += sizeBytes;
  return { ignored, usedBytes };
}

export interface IgnoredTensors {
  readonly count: number;
  readonly names: readonly string[];
}

/** Limits names for a report, since they come from files. */
export function ignoredTensors(names: readonly string[]): IgnoredTensors {
  return { count: names.length, names: names.slice(0, 20).map((name) => name.slice(0, 200)) };
}

/** The name of a stored output matrix that equals the embedding, and so is not used. */
export function unusedOutput(
  weights: ModelWeights,
  tensors: ReadonlyMap<string, TensorEntry>,
): readonly string[] {
  const isUnused = weights.output === weights.embedding && weights.embedding.name !== OUTPUT;
  return isUnused && tensors.has(OUTPUT) ? [OUTPUT] : [];
}

/**
 * Buffers that older versions of `transformers` stored and newer ones compute or omit: RoPE's frequencies and tables, causal
 * masks, counted positions.
 */
const BUFFERS =
  /(^|\.)(rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)|(self_)?attn\.(bias|masked_bias)|position_ids)$/;

function judgeUnused(name: string, config: ModelConfig, checkpointName: string): void {
  const layer = /^(?:model\.)?layers\.(\d+)\./.exec(name)?.[1];
  if (layer === undefined) return;
  if (Number(layer) >= config.numLayers)
    throw new ModelFileError(
      `opening ${checkpointName}: tensor ${printValue(name)} is of layer ${layer}, but config.json has num_hidden_layers ` +
        `${config.numLayers}; config and weights belong to different models or versions`,
    );
  if (BUFFERS.test(name)) return;
  throw new ModelFileError(
    `opening ${checkpointName}: tensor ${printValue(name)} stands in a layer, but config.json asks for none of that name in ` +
      `a layer of ${config.family.architecture}${biasNote(name)}; config and weights belong to different models: take the ` +
      "config.json that came with the weights",
  );
}

function biasNote(name: string): string {
  return /self_attn\.\w_proj\.bias$/.test(name) ? " (attention_bias is not true there)" : "";
}

/** Names of the embedding and of the output matrix; undefined if the output is tied to the embedding. */
interface EmbeddingNames {
  embedding: string;
  output: string | undefined;
}

const EMBEDDING = "model.embed_tokens.weight";
const OUTPUT = "lm_head.weight";

/**
 * Ties embeddings as `transformers` 5.24 does (`tie_weights`): a single stored matrix serves as both; two stored matrices
 * that differ are both used.
 */
function nameEmbeddings(tensors: ReadonlyMap<string, TensorEntry>, config: ModelConfig): EmbeddingNames {
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
  if (!first || !second || first.format !== second.format || first.sizeBytes !== second.sizeBytes)
    return false;
  for (let at = 0; at < first.sizeBytes; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, first.sizeBytes - at);
    const bytes = await first.source.read(first.offset + at, length);
    const others = await second.source.read(second.offset + at, length);
    if (bytes.some((byte, i) => byte !== others[i])) return false;
  }
  return true;
}

/** Hands every weight of the decoder to `place`, in order. */
function describeWeights<T>(
  config: ModelConfig,
  names: Readonly<EmbeddingNames>,
  find: Find,
  place: (plan: WeightPlan) => T,
) {
  const { hiddenSize, headDim, intermediateSize, vocabSize } = config;
  const queryWidth = config.numQueryHeads * headDim;
  const kvWidth = config.numKvHeads * headDim;
  const matrix = (name: string, rows: number, cols: number) => place(find(`${name}.weight`, [rows, cols]));
  const vector = (name: string, size: number) => place(find(name, [size]));
  const embedding = place(find(names.embedding, [vocabSize, hiddenSize]));
  const describeLayer = (layer: number) => {
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
        kind: "dense" as const,
        norm: vector(`model.layers.${layer}.post_attention_layernorm.weight`, hiddenSize),
        gate: matrix(`${mlp}.gate_proj`, intermediateSize, hiddenSize),
        up: matrix(`${mlp}.up_proj`, intermediateSize, hiddenSize),
        down: matrix(`${mlp}.down_proj`, hiddenSize, intermediateSize),
      },
    };
  };
  const layers: ReturnType<typeof describeLayer>[] = [];
  for (let layer = 0; layer < config.numLayers; layer++) layers.push(describeLayer(layer));
  const norm = vector("model.norm.weight", hiddenSize);
  const output = names.output ? place(find(names.output, [vocabSize, hiddenSize])) : embedding;
  return { embedding, layers, norm, output };
}

/** Finds a tensor with or without the prefix "model.", which some checkpoints lack. */
function findEntry(tensors: ReadonlyMap<string, TensorEntry>, name: string): TensorEntry | undefined {
  return tensors.get(name) ?? tensors.get(name.replace(/^model\./, ""));
}

function findWeight(
  tensors: ReadonlyMap<string, TensorEntry>,
  name: string,
  shape: readonly number[],
  checkpointName: string,
  promised: ReadonlyMap<string, string> = new Map(),
): WeightPlan {
  const entry = findEntry(tensors, name);
  if (!entry)
    throw new ModelFileError(
      `opening ${checkpointName}: tensor "${name}" is missing; config.json asks for it with shape [${shape}]; ` +
        whyAbsent(tensors, name, promised),
    );
  if (!entry.format)
    throw new ModelFileError(
      `opening ${checkpointName}: tensor ${printValue(entry.name)} is stored as ${entry.fileDtype}; supported are BF16, ` +
        `F16 and F32; ${adviceFor(entry.fileDtype, tensors)}`,
    );
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
    throw new ModelFileError(
      `opening ${checkpointName}: tensor ${printValue(entry.name)} of ${entry.source.name} has shape [${entry.shape}], ` +
        `but config.json asks for [${shape}]`,
    );
  const { name: stored, format } = entry;
  const [rows = 1, cols] = shape;
  if (cols !== undefined) return { entry, spec: { kind: "matrix", name: stored, format, rows, cols } };
  if (!isFloatFormat(format))
    throw new ModelFileError(
      `opening ${checkpointName}: tensor ${printValue(stored)} is a vector in ${entry.fileDtype}; expected F32, F16 or BF16: ` +
        "norms and biases are never quantised, so the file is damaged or of another kind",
    );
  return { entry, spec: { kind: "vector", name: stored, format, size: rows } };
}

function whyAbsent(
  tensors: ReadonlyMap<string, TensorEntry>,
  name: string,
  promised: ReadonlyMap<string, string>,
): string {
  const file = promised.get(name) ?? promised.get(name.replace(/^model\./, ""));
  if (file !== undefined)
    return (
      `the index says it is in ${file}, but it is not; the files belong to different versions, download all of them ` +
      "again"
    );
  const quantizer = quantizerOf(tensors.keys());
  if (quantizer !== undefined)
    return `the names of the tensors are those of ${quantizer}: take the checkpoint before quantisation, in BF16, F16 or F32`;
  for (const other of tensors.keys())
    if (/lora_[AB]\b/.test(other))
      return `${printValue(other)} is of an adapter (LoRA): merge it into its base model, or take the base model`;
  return "config and weights belong to different models or versions";
}

function adviceFor(fileDtype: string, tensors: ReadonlyMap<string, TensorEntry>): string {
  if (fileDtype === "F64") return "convert it with transformers";
  const quantizer = quantizerOf(tensors.keys());
  const by = quantizer === undefined ? "" : ` by ${quantizer}, as the names of its tensors say`;
  return `most likely the checkpoint is quantised${by}: take the one before quantisation`;
}

async function stream(
  { entry, spec }: WeightPlan,
  weight: WeightRef,
  backend: Backend,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { rows: numRows, cols } = dimensionsOf(spec);
  const bytes = rowBytes(spec.format, cols);
  const rowsAtOnce = Math.max(8, Math.floor(SLICE_BYTES / bytes / 8) * 8);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    throwIfAborted(signal, "loading the weights");
    await backend.writeWeight(weight, row, await entry.source.read(entry.offset + row * bytes, rows * bytes));
  }
}
