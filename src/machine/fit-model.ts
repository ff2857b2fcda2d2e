/** Fits a model into a backend's memory: the precision of its weights, then its context. */
import type { Capacity, ModelShape } from "../backend/backend.ts";
import type { BackendCandidate, KeptMemory, MemoryLimit } from "../backend/backend-kind.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { mebibytes } from "../base/mebibytes.ts";
import type { WeightFormat } from "../base/weight-format.ts";
import type { WeightDtype } from "../model/weight-storage.ts";
import { estimateMemory } from "./estimate-memory.ts";
import { concurrent, fitContext, MIN_CONCURRENT } from "./fit-context.ts";

/** Values of the option `dtype`. */
export const DTYPE_CHOICES = ["auto", "own", "q8", "q4"] as const;

/** Precision of the weights in memory: `auto` takes the checkpoint's own while it fits. */
export type DtypeChoice = (typeof DTYPE_CHOICES)[number];

/** Weights of a model, by precision. */
export interface WeightDemand {
  readonly choice: DtypeChoice;
  /** Bytes of all weights on a backend that keeps these formats. */
  bytes(dtype: WeightDtype, formats: ReadonlySet<WeightFormat>): number;
}

/** What a policy keeps, and its name. */
export interface KeptByPolicy {
  readonly policy: string;
  readonly memory: KeptMemory;
}

export interface ModelDemand {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly weights: WeightDemand;
  /** What the attention policy of requests keeps beside the cache. Absent: nothing. */
  readonly kept?: KeptByPolicy | undefined;
  /** What a person named is kept or refused. */
  readonly asked: { readonly context: boolean; readonly concurrency: boolean };
}

export interface FittedModel {
  readonly dtype: WeightDtype;
  /** Reason for the precision. */
  readonly dtypeWhy: string;
  readonly weightBytes: number;
  readonly capacity: Capacity;
  /** Reason for a context shorter than the demand. */
  readonly contextNote: string | undefined;
  /** Tokens whose keys and values only allocation shows to fit beside the weights; absent if the backend's limit counts them. */
  readonly unprovenTokens?: number;
}

/** Tokens for which "auto" keeps the checkpoint's own precision, if nobody names a context: enough for a short chain of thought. */
const LEAST_CONTEXT = 4096;

/**
 * "auto" keeps the checkpoint's own precision if the weights fit beside the asked context (`LEAST_CONTEXT` tokens if none is
 * asked), else q8 if that takes less; q4 only if it is named.
 * @throws BackendError, ConfigError with the bytes of each part and the nearest setting that would fit
 */
export function fitModel(candidate: BackendCandidate, demand: ModelDemand): FittedModel {
  const { choice } = demand.weights;
  const first = choice === "auto" ? "own" : choice;
  const fit = new ModelFit(candidate, demand);
  if (choice !== "auto") return fit.with(first, "asked for");
  if (fit.holds("own")) return fit.with("own", "auto: the checkpoint's own precision fits");
  if (!fit.isSmaller("q8"))
    return fit.with("own", "auto: no less memory in q8, since the weights are quantised already");
  return fit.with("q8", fit.whyNotOwn());
}

/** The fits of one model into one candidate. */
class ModelFit {
  readonly #candidate: BackendCandidate;
  readonly #demand: ModelDemand;

  constructor(candidate: BackendCandidate, demand: ModelDemand) {
    this.#candidate = candidate;
    this.#demand = demand;
  }

  /** True if one sequence of the least context fits beside the weights. */
  holds(dtype: WeightDtype): boolean {
    return this.#limit(dtype).fits(this.#leastCapacity);
  }

  /** True if the weights take less memory than in the checkpoint's own precision. */
  isSmaller(dtype: WeightDtype): boolean {
    return this.#weightBytes(dtype) < this.#weightBytes("own");
  }

  whyNotOwn(): string {
    return (
      `auto: the checkpoint's own precision does not fit (${this.#numbers("own")}); ` +
      "name dtype own to have it with a shorter context"
    );
  }

  with(dtype: WeightDtype, dtypeWhy: string): FittedModel {
    const { capacity, asked } = this.#demand;
    try {
      const limit = this.#limit(dtype);
      const fitted = fitContext(capacity, limit, asked);
      const tokens = Math.min(this.#leastCapacity.maxSequenceLength, fitted.capacity.maxSequenceLength);
      const unproven = limit.isPartial && { unprovenTokens: tokens };
      return { dtype, dtypeWhy, weightBytes: this.#weightBytes(dtype), ...fitted, ...unproven };
    } catch (error) {
      if (!(error instanceof BackendError || error instanceof ConfigError)) throw error;
      const message = `${error.message}: ${this.#numbers(dtype)}; ${this.#advice(dtype)}`;
      throw error instanceof ConfigError
        ? new ConfigError(message, { cause: error })
        : new BackendError(message, { cause: error });
    }
  }

  get #leastCapacity(): Capacity {
    const { capacity, asked } = this.#demand;
    const { pageSize, maxSequenceLength } = capacity;
    const length = asked.context ? maxSequenceLength : Math.min(maxSequenceLength, LEAST_CONTEXT);
    const fewest = asked.concurrency ? capacity : concurrent(capacity, MIN_CONCURRENT);
    return { ...fewest, maxSequenceLength: length, maxPages: Math.ceil(length / pageSize) };
  }

  #weightBytes(dtype: WeightDtype): number {
    return this.#demand.weights.bytes(dtype, this.#candidate.memory.weightFormats);
  }

  #limit(dtype: WeightDtype): MemoryLimit {
    const { model, kept } = this.#demand;
    return this.#candidate.memoryLimit({ model, weightBytes: this.#weightBytes(dtype), kept: kept?.memory });
  }

  #numbers(dtype: WeightDtype): string {
    const { memory, cacheDtype } = this.#candidate;
    const { model, kept } = this.#demand;
    const weightBytes = this.#weightBytes(dtype);
    const least = this.#leastCapacity;
    const { cacheBytes, workBytes, keptBytes } = estimateMemory(memory, {
      ...{ model, weightBytes, cacheDtype, capacity: least },
      kept: kept?.memory,
    });
    const parts = [
      `weights ${mebibytes(weightBytes)} as ${dtype === "own" ? "the checkpoint has them" : dtype}`,
      `keys and values of ${least.maxSequenceLength} tokens ${mebibytes(cacheBytes)}`,
      ...(keptBytes > 0 ? [`what attention ${kept?.policy} keeps of them ${mebibytes(keptBytes)}`] : []),
      `work space ${mebibytes(workBytes)}`,
    ];
    return parts.join(", ");
  }

  /** The nearest setting that would fit. */
  #advice(given: WeightDtype): string {
    const smaller = (["q8", "q4"] as const).filter(
      (dtype) => dtype !== given && this.#weightBytes(dtype) < this.#weightBytes(given),
    );
    const found = smaller.find((dtype) => this.holds(dtype));
    if (found) return `dtype ${found} would fit (weights ${mebibytes(this.#weightBytes(found))})`;
    return "no precision fits: use a smaller model, or a backend with more memory";
  }
}
