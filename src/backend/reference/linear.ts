/** Row-major f32 weights of the reference backend. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  /** f32 [rows, cols] */
  readonly values: Float32Array;
}

/** out[r] (+)= W[r] · x for all rows; sums in f64. x: [cols] at xOffset; out: [rows] at outOffset. */
export function matvec(
  matrix: Matrix,
  x: Float32Array,
  xOffset: number,
  out: Float32Array,
  outOffset: number,
  options: { readonly bias?: Float32Array | undefined; readonly accumulate?: boolean } = {},
): void {
  const { rows, cols, values } = matrix;
  for (let r = 0; r < rows; r++) {
    let sum = options.bias ? options.bias[r] : 0;
    for (let c = 0; c < cols; c++) sum += values[r * cols + c] * x[xOffset + c];
    out[outOffset + r] = options.accumulate ? out[outOffset + r] + sum : sum;
  }
}

/** out = x / rms(x) * weight over `size` elements (the RMSNorm of Qwen3 and Llama). May run in place. */
export function rmsNorm(
  x: Float32Array,
  xOffset: number,
  size: number,
  weight: Float32Array,
  eps: number,
  out: Float32Array,
  outOffset: number,
): void {
  let squares = 0;
  for (let i = 0; i < size; i++) squares += x[xOffset + i] * x[xOffset + i];
  const scale = 1 / Math.sqrt(squares / size + eps);
  for (let i = 0; i < size; i++) out[outOffset + i] = x[xOffset + i] * scale * weight[i];
}

/** Rotates element i with element i + headDim/2; `rope` holds the angles' cos, then sin, from ropeOffset on. */
export function rotateHalf(
  head: Float32Array,
  offset: number,
  headDim: number,
  rope: Float32Array,
  ropeOffset: number,
): void {
  const half = headDim / 2;
  for (let i = 0; i < half; i++) {
    const cos = rope[ropeOffset + i];
    const sin = rope[ropeOffset + half + i];
    const a = head[offset + i];
    const b = head[offset + half + i];
    head[offset + i] = a * cos - b * sin;
    head[offset + half + i] = b * cos + a * sin;
  }
}
