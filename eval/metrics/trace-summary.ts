/** What is summed of a record (`TraceRecord`), as a reader of files has it. */
export interface SummedRecord {
  readonly isSparse: boolean;
  readonly attendedFraction: number;
  readonly kvBytes: number;
  readonly layers: readonly SummedLayer[];
  readonly layerOverlap?: readonly (readonly (number | null)[])[] | undefined;
  readonly stepOverlap?: readonly (number | null)[] | undefined;
}

interface SummedLayer {
  readonly layer: number;
  readonly recall?: readonly number[] | undefined;
  readonly outputError?: readonly number[] | undefined;
  readonly headOverlap?: readonly (readonly number[])[] | undefined;
  readonly mergeDepth?: number | undefined;
}

/** Means over the sampled steps that have a value. */
export interface TraceSummary {
  readonly attention: string;
  /** Sampled steps, and those that were sparse. */
  readonly steps: number;
  readonly sparseSteps: number;
  readonly attendedFraction: number;
  readonly kvBytes: number;
  readonly layers: readonly LayerSummary[];
  /** [layers][layers], in order of `layers`; null where no step has both selections. */
  readonly layerOverlap: readonly (readonly (number | null)[])[];
}

/** Means of one layer over the observed steps; absent what was not observed. */
export interface LayerSummary {
  readonly layer: number;
  readonly recall?: readonly number[];
  readonly outputError?: readonly number[];
  readonly headOverlap?: readonly (readonly number[])[];
  readonly mergeDepth?: number;
  readonly maxMergeDepth?: number;
  readonly stepOverlap?: number;
}

/** A running mean of numbers. */
class Mean {
  #sum = 0;
  #count = 0;

  add(value: number | null | undefined): void {
    if (typeof value !== "number" || !Number.isFinite(value)) return;
    this.#sum += value;
    this.#count++;
  }

  /** undefined before the first number */
  get value(): number | undefined {
    return this.#count === 0 ? undefined : this.#sum / this.#count;
  }
}

/** Means by index, as long as the longest list. */
class Means {
  readonly #means: Mean[] = [];

  add(values: readonly (number | null)[] | undefined): void {
    for (const [i, value] of (values ?? []).entries()) {
      this.#means[i] ??= new Mean();
      this.#means[i].add(value);
    }
  }

  get values(): readonly (number | undefined)[] {
    return this.#means.map(({ value }) => value);
  }

  /** undefined unless every index has a number */
  get all(): readonly number[] | undefined {
    const values = this.values.filter((value) => value !== undefined);
    return values.length > 0 && values.length === this.#means.length ? values : undefined;
  }
}

/** Sums the layers of steps. */
class LayerMeans {
  readonly layer: number;
  readonly #recall = new Means();
  readonly #outputError = new Means();
  readonly #headOverlap: Means[] = [];
  readonly #mergeDepth = new Mean();
  readonly stepOverlap = new Mean();
  /** By the other layer. */
  readonly layerOverlap = new Map<number, Mean>();
  #maxMergeDepth = 0;

  constructor(layer: number) {
    this.layer = layer;
  }

  add({ recall, outputError, headOverlap = [], mergeDepth }: SummedLayer): void {
    this.#recall.add(recall);
    this.#outputError.add(outputError);
    for (const [head, row] of headOverlap.entries()) {
      this.#headOverlap[head] ??= new Means();
      this.#headOverlap[head].add(row);
    }
    this.#mergeDepth.add(mergeDepth);
    this.#maxMergeDepth = Math.max(this.#maxMergeDepth, mergeDepth ?? 0);
  }

  get summary(): LayerSummary {
    const [recall, outputError] = [this.#recall.all, this.#outputError.all];
    const [mergeDepth, stepOverlap] = [this.#mergeDepth.value, this.stepOverlap.value];
    return {
      layer: this.layer,
      ...(recall && { recall }),
      ...(outputError && { outputError }),
      ...(this.#headOverlap.length > 0 && { headOverlap: this.#headOverlap.map(({ all }) => all ?? []) }),
      ...(mergeDepth !== undefined && { mergeDepth, maxMergeDepth: this.#maxMergeDepth }),
      ...(stepOverlap !== undefined && { stepOverlap }),
    };
  }
}

/** Accumulates the records of one policy, of any number of requests. */
export class TraceAccumulator {
  readonly #attention: string;
  readonly #layers = new Map<number, LayerMeans>();
  readonly #attendedFraction = new Mean();
  readonly #kvBytes = new Mean();
  #steps = 0;
  #sparseSteps = 0;

  constructor(attention: string) {
    this.#attention = attention;
  }

  /** Adds a record of one observed step. */
  add(record: SummedRecord): void {
    this.#steps++;
    if (record.isSparse) this.#sparseSteps++;
    this.#attendedFraction.add(record.attendedFraction);
    this.#kvBytes.add(record.kvBytes);
    for (const [i, layer] of record.layers.entries()) {
      const means = this.#layers.get(layer.layer) ?? new LayerMeans(layer.layer);
      this.#layers.set(layer.layer, means);
      means.add(layer);
      for (const [j, value] of (record.layerOverlap?.[i] ?? []).entries()) {
        const other = record.layers[j]?.layer ?? -1;
        const mean = means.layerOverlap.get(other) ?? new Mean();
        means.layerOverlap.set(other, mean);
        mean.add(value);
      }
      means.stepOverlap.add(record.stepOverlap?.[i]);
    }
  }

  get summary(): TraceSummary {
    const layers = [...this.#layers.values()].sort((a, b) => a.layer - b.layer);
    return {
      attention: this.#attention,
      ...{ steps: this.#steps, sparseSteps: this.#sparseSteps },
      attendedFraction: this.#attendedFraction.value ?? 1,
      kvBytes: this.#kvBytes.value ?? 0,
      layers: layers.map(({ summary }) => summary),
      layerOverlap: layers.map(({ layerOverlap }) =>
        layers.map(({ layer }) => layerOverlap.get(layer)?.value ?? null),
      ),
    };
  }
}
