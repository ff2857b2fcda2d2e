import type { RopeConfig } from "./rope-config.ts";

/** Rotary position embedding, position by position. */
export interface Rope {
  /** Writes headDim/2 cosines, then headDim/2 sines, scaled by the type's attention factor, at `offset`. */
  writeRow(position: number, out: Float32Array, offset: number): void;
}

const f32 = Math.fround;

/**
 * RoPE with the rounding of `transformers`: inverse frequencies and angles in f32, so that far positions get the same
 * angles. Source: transformers 5.17, modeling_rope_utils.py.
 */
export function createRope(config: RopeConfig): Rope {
  const half = config.headDim / 2;
  const inverse = inverseFrequencies(config);
  const factor = config.type === "yarn" ? config.attentionFactor : 1;
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

/** f32 [headDim / 2] */
export function inverseFrequencies(config: RopeConfig): Float32Array {
  const { theta, headDim } = config;
  const half = headDim / 2;
  const plain = Float32Array.from({ length: half }, (_, i) => f32(1 / f32(theta ** f32((2 * i) / headDim))));
  switch (config.type) {
    case "default":
      return plain;
    case "linear":
      return plain.map((frequency) => f32(frequency / config.factor));
    case "llama3":
      return plain.map((frequency) => llama3Frequency(frequency, config));
    case "yarn":
      return yarnFrequencies(plain, config);
  }
}

/** Long wavelengths are stretched by the factor, short ones kept, those between interpolated. */
function llama3Frequency(frequency: number, config: RopeConfig & { type: "llama3" }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = config;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency;
  if (wavelength > originalMaxPositions / lowFreqFactor) return f32(frequency / factor);
  const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return f32(((1 - smooth) * frequency) / factor + smooth * frequency);
}

/** YaRN: a linear ramp over the channels from the frequencies as they are to those divided by the factor. */
function yarnFrequencies(plain: Float32Array, config: RopeConfig & { type: "yarn" }): Float32Array {
  const { theta, headDim, factor, originalMaxPositions, betaFast, betaSlow, truncate } = config;
  // the channel whose wavelength turns `rotations` times over the original context
  const channel = (rotations: number) =>
    (headDim * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(truncate ? Math.floor(channel(betaFast)) : channel(betaFast), 0);
  const upper = Math.min(truncate ? Math.ceil(channel(betaSlow)) : channel(betaSlow), headDim - 1);
  const high = low === upper ? upper + 0.001 : upper; // as the source does, so that the ramp has a slope
  return plain.map((frequency, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return f32((frequency / factor) * ramp + frequency * (1 - ramp));
  });
}
