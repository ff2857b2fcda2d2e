import { BF16, F16, F32 } from "./dtype-codes.ts";

/** Storage types of weights in a checkpoint and in a backend. */
export type WeightDtype = "f32" | "f16" | "bf16";

/** The number that stands for a dtype in WGSL and in the WASM kernels. */
export const DTYPE_CODES = { f32: F32, f16: F16, bf16: BF16 } as const satisfies Record<WeightDtype, number>;

/** Storage types of tensors. */
export type TensorDtype = "f32" | "u32";

/** Bytes of one element. */
export function dtypeBytes(dtype: WeightDtype | TensorDtype): number {
  return dtype === "f32" || dtype === "u32" ? 4 : 2;
}

/** Bytes of a row of `cols` elements. */
export function rowBytes(dtype: WeightDtype, cols: number): number {
  return cols * dtypeBytes(dtype);
}

/** The f32 value of an IEEE half-precision bit pattern (exact, subnormals included). */
function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * Decodes little-endian weights into f32.
 *
 * bytes  elements of `dtype`, any alignment
 * out    f32 [bytes.length / dtypeBytes(dtype)], written from its start
 */
export function decodeWeights(bytes: Uint8Array, dtype: WeightDtype, out: Float32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength / dtypeBytes(dtype);
  if (dtype === "f32") for (let i = 0; i < count; i++) out[i] = view.getFloat32(i * 4, true);
  else if (dtype === "bf16") {
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let i = 0; i < count; i++) bits[i] = view.getUint16(i * 2, true) << 16;
  } else for (let i = 0; i < count; i++) out[i] = f16ToF32(view.getUint16(i * 2, true));
}
