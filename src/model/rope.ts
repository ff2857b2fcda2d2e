import type { RopeConfig } from "./rope-config.ts";

/** Rotary position embedding of single positions. */
export interface Rope {
  /**
   * Writes headDim/2 cosines, then headDim/2 sines, scaled by the type's attention factor, at `offset`. Pairs that do not turn
   * come last, with cosine 1 and sine 0.
   * longest: the most positions that the sequence can reach; `longrope` takes its factors by it. Default: position + 1
   */
  writeRow(position: number, out: Float32Array, offset: number, longest?: number): void;
  /** Names the frequencies that `longest` decides; "" if it decides nothing. */
  rangeOf(longest: number): string;
}

const f32 = Math.fround;

/** Rows that are kept of each RoPE, of two variants of a position: 1024 positions, 1 MiB at 128 channels. */
const KEPT_ROWS = 2048;

/**
 * Makes RoPE with the rounding of `transformers`, inverse frequencies and angles in f32, so that far positions get the same
 * angles. Source: transformers 5.24, modeling_rope_utils.py.
 */
export function createRope(config: RopeConfig): Rope {
  const half = config.headDim / 2;
  const turning = config.type === "none" ? 0 : (config.rotaryDim ?? config.headDim) / 2;
  const inverse = inverseFrequencies(config);
  const isLong = (longest: number) => config.type === "longrope" && longest > config.originalMaxPositions;
  const long = config.type === "longrope" ? inverseFrequencies(config, config.longFactors) : inverse;
  const attention = f32("attentionFactor" in config ? config.attentionFactor : 1);
  const { queryScale } = config;
  const kept = new KeptRows(config.headDim);
  return {
    writeRow(position, out, offset, longest = position + 1) {
      const usesLong = isLong(longest);
      const name = 2 * position + (usesLong ? 1 : 0);
      if (kept.copy(name, out, offset)) return;
      const frequencies = usesLong ? long : inverse;
      const scale = queryScale ? scaleAt(position, queryScale) : 1;
      const factor = attention * scale;
      for (let i = 0; i < turning; i++) {
        const angle = f32(position * frequencies[i]);
        out[offset + i] = f32(Math.cos(angle)) * factor;
        out[offset + half + i] = f32(Math.sin(angle)) * factor;
      }
      out.fill(scale, offset + turning, offset + half);
      out.fill(0, offset + half + turning, offset + 2 * half);
      kept.keep(name, out, offset);
    },
    rangeOf: (longest) => (isLong(longest) ? "long" : ""),
  };
}

/**
 * Rows written lately, by name. Sequences of a batch pass the same positions soon after one another, and those of one prompt at once; the
 * sines of a row take 2 µs, its copy a tenth.
 */
class KeptRows {
  readonly #headDim: number;
  /** Of the rows. */
  #names: Float64Array | undefined;
  #rows: Float32Array | undefined;

  constructor(headDim: number) {
    this.#headDim = headDim;
  }

  /** Copies the row of a name to `offset`. Returns false if it is not kept. */
  copy(name: number, out: Float32Array, offset: number): boolean {
    const place = name % KEPT_ROWS;
    const [names, rows] = [this.#names, this.#rows];
    if (!names || !rows || names[place] !== name) return false;
    const from = place * this.#headDim;
    for (let i = 0; i < this.#headDim; i++) out[offset + i] = rows[from + i];
    return true;
  }

  /** Keeps the row at `offset` in place of an older one. */
  keep(name: number, out: Float32Array, offset: number): void {
    this.#names ??= new Float64Array(KEPT_ROWS).fill(-1);
    this.#rows ??= new Float32Array(KEPT_ROWS * this.#headDim);
    const place = name % KEPT_ROWS;
    this.#names[place] = name;
    const to = place * this.#headDim;
    for (let i = 0; i < this.#headDim; i++) this.#rows[to + i] = out[offset + i];
  }
}

/** The scale of Llama 4 on queries past the original context. Source: transformers 5.24, get_llama_4_attn_scale. */
function scaleAt(
  position: number,
  { beta, originalMaxPositions }: NonNullable<RopeConfig["queryScale"]>,
): number {
  return 1 + beta * Math.log(1 + Math.floor(position / originalMaxPositions));
}

/**
 * Order of the rows of q and k under which the pairs of a partly rotary head lie headDim / 2 apart, as those of a whole one:
 * first halves of the pairs that turn, half of the rest, second halves, the other half. Attention is the same, since q and k are
 * in one order. Returns the element of the stored head for element `i`.
 */
export function partlyRotaryElement(headDim: number, rotaryDim: number, i: number): number {
  const [half, turning] = [headDim / 2, rotaryDim / 2];
  const inHalf = i % half;
  const isSecond = i >= half;
  if (inHalf < turning) return isSecond ? turning + inHalf : inHalf;
  return rotaryDim + inHalf - turning + (isSecond ? half - turning : 0);
}

/**
 * f32 [rotaryDim / 2]. Every operation rounds as in torch: a scalar becomes f32 if it meets a tensor, and a scalar over a
 * tensor is the tensor's reciprocal times the scalar.
 * factors: of `longrope`, for which the short ones are the default
 */
export function inverseFrequencies(config: RopeConfig, factors?: readonly number[]): Float32Array {
  const { theta, headDim, rotaryDim: dim = headDim } = config;
  const length = dim / 2;
  const wavelengths = Float32Array.from({ length }, (_, i) => f32(theta) ** f32((2 * i) / dim));
  switch (config.type) {
    case "longrope": {
      const divisors = factors ?? config.shortFactors;
      return wavelengths.map((wavelength, i) => 1 / f32(f32(divisors[i] ?? 1) * wavelength));
    }
    case "default":
    case "none":
    case "dynamic":
      return wavelengths.map((wavelength) => 1 / wavelength);
    case "linear":
      return wavelengths.map((wavelength) => f32(1 / wavelength) / f32(config.factor));
    case "llama3":
      return wavelengths.map((wavelength) => llama3Frequency(f32(1 / wavelength), config));
    case "yarn":
      return yarnFrequencies(wavelengths, config);
  }
}

/** Llama 3: stretches long wavelengths by the factor, keeps short ones, interpolates between. */
function llama3Frequency(frequency: number, config: RopeConfig & { type: "llama3" }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = config;
  const wavelength = f32(f32(1 / frequency) * f32(2 * Math.PI));
  // In the source's order: with the two factors swapped both conditions hold.
  if (wavelength > f32(originalMaxPositions / lowFreqFactor)) return frequency / f32(factor);
  if (wavelength < f32(originalMaxPositions / highFreqFactor)) return frequency;
  const turns = f32(f32(1 / wavelength) * f32(originalMaxPositions));
  const smooth = f32(f32(turns - f32(lowFreqFactor)) / f32(highFreqFactor - lowFreqFactor));
  const stretched = f32(f32(f32(1 - smooth) * frequency) / f32(factor));
  return stretched + f32(smooth * frequency);
}

/** YaRN: a linear ramp over the channels from unscaled frequencies to frequencies divided by the factor. */
function yarnFrequencies(wavelengths: Float32Array, config: RopeConfig & { type: "yarn" }): Float32Array {
  const { theta, headDim, factor, originalMaxPositions, betaFast, betaSlow, truncate } = config;
  // The channel that turns `rotations` times over the original context.
  const channel = (rotations: number) =>
    (headDim * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(truncate ? Math.floor(channel(betaFast)) : channel(betaFast), 0);
  const upper = Math.min(truncate ? Math.ceil(channel(betaSlow)) : channel(betaSlow), headDim - 1);
  const high = low === upper ? upper + 0.001 : upper; // As in the source, so that the ramp has a slope.
  return wavelengths.map((wavelength, i) => {
    const ramp = Math.min(1, Math.max(0, f32(f32(i - f32(low)) / f32(high - low))));
    const kept = f32(1 - ramp);
    const interpolated = f32(1 / f32(f32(factor) * wavelength));
    return f32(interpolated * f32(1 - kept)) + f32(f32(1 / wavelength) * kept);
  });
}
