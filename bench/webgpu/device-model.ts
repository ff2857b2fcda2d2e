/** A model of a shape with pseudo-random weights and a full cache, all of it made on the device. */
import {
  type AttentionModel,
  attentionModelOf,
  createRope,
  fillBackend,
  type ModelConfig,
  type ModelWeights,
  type WebGpuBackend,
  type WebGpuOptions,
  webGpuCandidate,
  webGpuFactory,
  withAllPages,
} from "../../src/node/internal.ts";
import type { StepParts } from "../bare-stepper.ts";
import type { BenchGpu } from "./gpu.ts";
import type { Dtypes } from "./step-work.ts";
import { type MatrixName, matrixBytes, matrixFormat } from "./weight-mix.ts";

export const PAGE_SIZE = 16;
const SEED = 7;

export interface DeviceModel {
  readonly config: ModelConfig;
  readonly attentionModel: AttentionModel;
  readonly backend: WebGpuBackend;
  readonly weights: ModelWeights;
}

/** Its parts for steps without an engine. */
export function stepPartsOf({ backend, weights, attentionModel, config }: DeviceModel): StepParts {
  return { backend, weights, attentionModel, ropes: config.ropes.map(createRope) };
}

export interface DeviceModelOptions extends Dtypes {
  /** Tokens that the cache holds of each sequence. */
  readonly context: number;
  /** Sequences that the cache holds. Default: 1. */
  readonly sequences?: number;
  /** Rows of the largest batch, of one sequence; left out: rows and sequences as an engine has them by default. */
  readonly rows?: number;
  readonly hasSubgroupMatrices?: false;
  /** Sizes of kernels to try. */
  readonly tuning?: WebGpuOptions["tuning"];
  readonly traits?: WebGpuOptions["traits"];
  /** Pages that are really there, if fewer than all: for a device that runs nothing. */
  readonly pages?: number;
}

export async function openDeviceModel(
  gpu: BenchGpu,
  config: ModelConfig,
  {
    context,
    sequences = 1,
    rows,
    dtype,
    cacheDtype,
    hasSubgroupMatrices,
    tuning,
    traits: given,
    pages,
  }: DeviceModelOptions,
): Promise<DeviceModel> {
  const adapter = await gpu.adapter();
  const candidate = webGpuCandidate(adapter, adapter);
  const demand = { model: config, weightBytes: matrixBytes(config, dtype) };
  const capacity = {
    pageSize: PAGE_SIZE,
    maxPages: sequences * Math.ceil(context / PAGE_SIZE),
    maxSequenceLength: context,
    maxBatchRows: rows ?? candidate.prefillRows(demand, context),
    maxBatchSequences: rows === undefined ? Math.max(sequences, candidate.maxConcurrent) : 1,
  };
  const traits = { ...given, ...(hasSubgroupMatrices === false && { subgroupMatrix: undefined }) };
  const factory = webGpuFactory(adapter, { cacheDtype, traits, ...(tuning && { tuning }) });
  const backend = await (pages === undefined ? withAllPages(factory) : factory)(config, capacity);
  if (pages !== undefined) await backend.resizeCache(pages);
  try {
    const weights = placeWeights(config, backend, dtype);
    fillBackend(backend, SEED);
    await backend.finish();
    return { config, attentionModel: attentionModelOf(config, PAGE_SIZE), backend, weights };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

function placeWeights(config: ModelConfig, backend: WebGpuBackend, dtype: Dtypes["dtype"]): ModelWeights {
  const { numLayers, hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = config;
  const matrix = (name: MatrixName, rows: number, cols: number, layer = 0) =>
    backend.createWeight({
      ...{ kind: "matrix", name, rows, cols },
      format: matrixFormat(dtype, config, name, layer),
    });
  const vector = (name: string, size: number) =>
    backend.createWeight({ kind: "vector", name, format: "f32", size });
  const [queryWidth, kvWidth] = [numQueryHeads * headDim, numKvHeads * headDim];
  const embedding = matrix("embedding", vocabSize, hiddenSize);
  const layers = Array.from({ length: numLayers }, (_, layer) => ({
    attentionInput: {
      norm: vector("norm", hiddenSize),
      q: matrix("q", queryWidth, hiddenSize),
      k: matrix("k", kvWidth, hiddenSize),
      v: matrix("v", kvWidth, hiddenSize, layer),
      ...(config.hasQkvBias && {
        qBias: vector("q bias", queryWidth),
        kBias: vector("k bias", kvWidth),
        vBias: vector("v bias", kvWidth),
      }),
      ...(config.family.hasQkNorm && { qNorm: vector("q norm", headDim), kNorm: vector("k norm", headDim) }),
    },
    attentionOutput: {
      o: matrix("o", hiddenSize, queryWidth),
      ...(config.hasOutputBias && { oBias: vector("o bias", hiddenSize) }),
    },
    feedForward: {
      kind: "dense" as const,
      norm: vector("norm", hiddenSize),
      gate: matrix("gate", intermediateSize, hiddenSize),
      up: matrix("up", intermediateSize, hiddenSize),
      down: matrix("down", hiddenSize, intermediateSize, layer),
    },
  }));
  const norm = vector("norm", hiddenSize);
  const output = config.tieWordEmbeddings ? embedding : matrix("output", vocabSize, hiddenSize);
  return { embedding, layers, norm, output };
}
