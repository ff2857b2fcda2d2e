import type { Backend } from "../backend/backend.ts";
import { ModelFileError } from "../base/errors.ts";
import type { Fingerprint } from "../base/fingerprint.ts";
import { printValue } from "../base/print-value.ts";
import type { WeightSpec } from "../base/tensor-ref.ts";
import type { Checkpoint } from "../load/checkpoint.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import type { ModelConfig } from "./config.ts";
import { streamWeights } from "./stream-weights.ts";
import { WeightFinder, withoutPrefix } from "./weight-finder.ts";
import { describeWeights, type ModelWeights, nameEmbeddings, OUTPUT } from "./weight-plan.ts";
import type { WeightPlan } from "./weight-rows.ts";
import { storedFormat, type WeightDtype } from "./weight-storage.ts";

export type { ModelWeights };

/** Bytes of one read from a file: few beside any model, many beside a disk's latency. */
const SLICE_BYTES = 4 << 20;

export interface LoadOptions {
  /** Precision of the matrices; default: the checkpoint's own. */
  readonly dtype?: WeightDtype;
  readonly signal?: AbortSignal | undefined;
  /** Takes what identifies the weights. */
  readonly fingerprint?: Fingerprint | undefined;
}

/**
 * Finds and checks all weights, reserves their final places, then streams each into its place, once.
 * @throws ModelFileError naming the tensor, what the config asks for and what the file has, before any weight is read;
 * AbortedError between two slices.
 */
export async function loadWeights(
  { tensors, name: checkpointName }: Pick<Checkpoint, "tensors" | "name">,
  config: ModelConfig,
  backend: Backend,
  { dtype = "own", signal, fingerprint }: LoadOptions = {},
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
  const placed = plans.map((plan) => {
    const format = storedFormat(plan, dtype, backend.weightFormats);
    return { plan, weight: backend.createWeight({ ...plan.spec, format } as WeightSpec) };
  });
  let next = 0;
  const weights = describeWeights(config, names, finder, () => placed[next++].weight);
  await streamWeights(placed, backend, { signal, fingerprint });
  return weights;
}

/** Outcome of a check of the files against the config. */
export interface WeightCheck {
  /** Names of tensors outside the layers that no op uses; `transformers` ignores them too. */
  readonly ignored: readonly string[];
  /** Weights that the config asks for; a tied output that its file stores again is among them. */
  readonly plans: readonly WeightPlan[];
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
  const plans: WeightPlan[] = [];
  const finder = new WeightFinder(tensors, checkpointName, promised);
  describeWeights(config, nameEmbeddings(finder, config), finder, (plan) => {
    plans.push(plan);
    for (const { entry } of plan.runs) used.add(entry);
  });
  const ignored: string[] = [];
  for (const entry of tensors.values()) {
    if (used.has(entry)) continue;
    judgeUnused(entry.name, config, checkpointName);
    if (!BUFFERS.test(entry.name)) ignored.push(entry.name);
  }
  return { ignored, plans };
}

/** Tensors of a checkpoint that the model does not use: all of them counted, the first 20 by name. */
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
