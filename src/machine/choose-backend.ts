/** Chooses a backend for a model, fits the context into its memory, and opens it. */
import type { Backend, Capacity, ModelShape } from "../backend/backend.ts";
import type { BackendCandidate, BackendKind, KeptMemory, MemoryLimit } from "../backend/backend-kind.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import type { WeightDtype } from "../model/weight-storage.ts";
import { BACKEND_CHOICES, BACKENDS, type BackendHost, type BackendOptions } from "./backends.ts";
import { concurrent } from "./fit-context.ts";
import { fitModel, type KeptByPolicy, type WeightDemand } from "./fit-model.ts";
import { layersFor, testCandidate, testLayers } from "./test-candidate.ts";
import { testOnce } from "./test-once.ts";

/** A model's demand on a backend. */
export interface BackendDemand {
  readonly model: ModelShape;
  /** `maxBatchRows` is a minimum here; the backend may propose more for prefill. */
  readonly capacity: Capacity;
  /** True if a person named the number of concurrent requests; otherwise the number is a maximum, lowered to suit the backend. */
  readonly isConcurrencyNamed: boolean;
  readonly weights: WeightDemand;
  /** What the attention policy of requests keeps beside the cache. Absent: nothing. */
  readonly kept?: KeptByPolicy | undefined;
}

export interface ChosenBackend {
  readonly backend: Backend;
  /** The precision of the weights, and its reason. */
  readonly dtype: WeightDtype;
  readonly dtypeWhy: string;
  /** Reason for this backend. */
  readonly why: string;
  /** Reason for a context shorter than the demand; absent otherwise. */
  readonly contextNote?: string | undefined;
  /** Tokens whose keys and values only allocation shows to fit beside the weights. */
  readonly unprovenTokens?: number;
  /** The backend's limit beside these weights, with what policies keep. */
  readonly limitWith: (kept: KeptMemory) => MemoryLimit;
  /** Duration of the device's self-test, if it has one; it runs once per process. */
  readonly selfTestMs?: number;
}

/** @throws ConfigError on impossible options, BackendError when the backend cannot be opened. */
export async function chooseBackend(
  host: BackendHost,
  options: BackendOptions,
  demand: BackendDemand,
): Promise<ChosenBackend> {
  const choice = await chooseKind(host, options);
  const { candidate, why } = choice;
  const { capacity, ...fitted } = fitModel(candidate, {
    model: demand.model,
    capacity: capacityOn(candidate, demand),
    weights: demand.weights,
    kept: demand.kept,
    asked: { context: options.contextLength !== undefined, concurrency: demand.isConcurrencyNamed },
  });
  const selfTestMs = await checkDevice(host, options, choice, demand.model);
  const backend = await candidate.open(demand.model, capacity);
  const { model } = demand;
  const { weightBytes } = fitted;
  const limitWith = (kept: KeptMemory) => candidate.memoryLimit({ model, weightBytes, kept });
  return { backend, why, limitWith, ...fitted, ...(selfTestMs !== undefined && { selfTestMs }) };
}

/** The demand's capacity with the rows and the concurrency that suit a candidate. */
export function capacityOn(
  candidate: BackendCandidate,
  { model, capacity, isConcurrencyNamed, weights }: BackendDemand,
): Capacity {
  const weightBytes = weights.bytes(
    weights.choice === "auto" ? "own" : weights.choice,
    candidate.memory.weightFormats,
  );
  const rows = candidate.prefillRows({ model, weightBytes }, capacity.maxSequenceLength);
  const wanted = { ...capacity, maxBatchRows: Math.max(capacity.maxBatchRows, rows) };
  return isConcurrencyNamed ? wanted : concurrent(wanted, candidate.maxConcurrent);
}

/** The chosen kind, this machine's candidate for it, and the reason. */
export interface ChosenKind {
  readonly kind: BackendKind<BackendHost, BackendOptions>;
  readonly candidate: BackendCandidate;
  readonly why: string;
}

/** Picks the kind that the options name; for "auto" the first wanted candidate of this machine. */
export async function chooseKind(host: BackendHost, options: BackendOptions): Promise<ChosenKind> {
  const { backend: choice = "auto" } = options;
  const reasons: string[] = [];
  for (const kind of BACKENDS) {
    if (choice === kind.name)
      return { kind, candidate: await kind.probe(host, options), why: askedFor(kind, host) };
    if (choice !== "auto") continue;
    const candidate = await kind.probe(host, options).catch((error: unknown) => {
      if (!(error instanceof BackendError)) throw error;
      reasons.push(`no ${kind.device} (${error.message})`);
      return undefined;
    });
    if (candidate?.auto.why !== undefined) reasons.push(candidate.auto.why);
    if (candidate?.auto.isWanted) return { kind, candidate, why: `auto: ${reasons.join("; ")}` };
  }
  if (choice !== "auto")
    throw new ConfigError(`unknown backend "${String(choice)}"; known are ${BACKEND_CHOICES.join(", ")}`);
  throw new BackendError(`opening a backend: this machine has none (${reasons.join("; ")})`);
}

function askedFor({ device }: ChosenKind["kind"], { gpuName }: BackendHost): string {
  return device === "GPU" && gpuName !== undefined ? `asked for, on GPU ${gpuName}` : "asked for";
}

/** Tests a candidate's device with another candidate of the same kind. @throws BackendError if an op computes wrongly. */
async function checkDevice(
  host: BackendHost,
  options: BackendOptions,
  { kind, candidate: { tested } }: ChosenKind,
  model: ModelShape,
): Promise<number | undefined> {
  if (!tested) return undefined;
  const { source, key } = tested;
  const { rows, elapsedMs } = await testLayers(
    (layer) =>
      testOnce({ source, key: `${key}|${layer}` }, async () =>
        testCandidate(await kind.probe(host, options), layer),
      ),
    layersFor(model),
  );
  const wrong = rows.find(({ isRight }) => !isRight);
  if (wrong)
    throw new BackendError(
      `opening ${kind.name}: the self-test of ${tested.name} failed at ${wrong.op}: error ${wrong.error}, ` +
        `allowed ${wrong.allowed}; update the GPU's driver, or use the wasm backend (lessismore doctor shows all ops)`,
    );
  return elapsedMs;
}
