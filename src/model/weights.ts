import type { Backend } from "../backend/backend.ts";
import { throwIfAborted } from "../base/abort.ts";
import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { dimensionsOf, type WeightRef } from "../base/tensor-ref.ts";
import { rowBytes } from "../base/weight-format.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import type { ModelConfig } from "./config.ts";
import { WeightFinder, withoutPrefix } from "./weight-finder.ts";
import { describeWeights, type ModelWeights, nameEmbeddings, OUTPUT } from "./weight-plan.ts";
import { readRows, type WeightPlan } from "./weight-rows.ts";

export type { ModelWeights };

/** Bytes of one read from a file: few beside any model, many beside a disk's latency. */
const SLICE_BYTES = 4 << 20;

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
  const finder = new WeightFinder(tensors, checkpointName);
  const names = nameEmbeddings(finder, config);
  checkWeights(tensors, config, checkpointName);
  if (
    config.tieWordEmbeddings &&
    names.output &&
    (await haveSameBytes(finder.entry(names.embedding), finder.entry(names.output)))
  )
    names.output = undefined;
  const plans: WeightPlan[] = [];
  describeWeights(config, names, finder, (plan) => plans.push(plan));
  const places = new Map<WeightPlan, WeightRef>();
  const reserved = plans.map((plan) => {
    const weight = backend.createWeight(plan.spec);
    places.set(plan, weight);
    return weight;
  });
  let next = 0;
  const weights = describeWeights(config, names, finder, () => reserved[next++]);
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
  const finder = new WeightFinder(tensors, checkpointName, promised);
  describeWeights(config, nameEmbeddings(finder, config), finder, ({ runs }) => {
    for (const { entry } of runs) used.add(entry);
  });
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
  const isUnused = weights.output === weights.embedding && !weights.embedding.name.endsWith(OUTPUT);
  const output = isUnused ? new WeightFinder(tensors, "").entry(OUTPUT) : undefined;
  return output ? [output.name] : [];
}

/**
 * Buffers that older versions of `transformers` stored and newer ones compute or omit: RoPE's frequencies and tables, causal
 * masks, counted positions.
 */
const BUFFERS =
  /(^|\.)(rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)|(self_)?attn\.(bias|masked_bias)|position_ids)$/;

function judgeUnused(name: string, config: ModelConfig, checkpointName: string): void {
  const layer = /^layers\.(\d+)\./.exec(withoutPrefix(name))?.[1];
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

async function haveSameBytes(
  first: TensorEntry | undefined,
  second: TensorEntry | undefined,
): Promise<boolean> {
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

async function stream(
  plan: WeightPlan,
  weight: WeightRef,
  backend: Backend,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { rows: numRows, cols } = dimensionsOf(plan.spec);
  const bytes = rowBytes(plan.spec.format, cols);
  const rowsAtOnce = Math.max(8, Math.floor(SLICE_BYTES / bytes / 8) * 8);
  for (let row = 0; row < numRows; row += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, numRows - row);
    throwIfAborted(signal, "loading the weights");
    await backend.writeWeight(weight, row, await readRows(plan, row, rows));
  }
}
