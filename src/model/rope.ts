import type { RopeConfig } from "./rope-config.ts";

/** Rotary position embedding of single positions. */
export interface Rope {
  /** Writes headDim/2 cosines, then headDim/2 sines, scaled by the type's attention factor, at `offset`. */
  writeRow(position: number, out: Float32Array, offset: number): void;
}

const f32 = Math.fround;

/**
 * Makes RoPE with the rounding of `transformers`, inverse frequencies and angles in f32, so that far positions get the same
 * angles. Source: transformers 5.24, modeling_rope_utils.py.
 */
export function createRope(config: RopeConfig): Rope {
  const half = config.headDim / 2;
  const inverse = inverseFrequencies(config);
  const factor = f32(config.type === "yarn" ? config.attentionFactor : 1);
  return {
    writeRow(position, out, offset) {
      for (let i = 0; i < half; i++) {
        const angle = f32(position * inverse[i]);
        out[offset + i] = f32(Math.cos(angle)) * factor;
        out[offset + half + i] = f32(Math.sin(angle)) * factor;
      }
    },
  };
}

/**
 * f32 [headDim / 2]. Every operation rounds as in torch: a scalar becomes f32 if it meets a tensor, and a scalar over a
 * tensor is the tensor's reciprocal times the scalar.
 */
export function inverseFrequencies(config: RopeConfig): Float32Array {
  const { theta, headDim } = config;
  const length = headDim / 2;
  const wavelengths = Float32Array.from({ length }, (_, i) => f32(theta) ** f32((2 * i) / headDim));
  switch (config.type) {
    case "default":
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
