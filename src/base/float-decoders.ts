/** Decoders of float formats: little-endian bytes of any alignment into f32, written from the start of `out`. */
import { f16Values } from "./half.ts";

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function decodeF32(bytes: Uint8Array, out: Float32Array): void {
  const view = viewOf(bytes);
  for (let i = 0; i < bytes.byteLength / 4; i++) out[i] = view.getFloat32(i * 4, true);
}

export function decodeF16(bytes: Uint8Array, out: Float32Array): void {
  const values = f16Values();
  for (let i = 0, at = 0; at < bytes.length; i++, at += 2) out[i] = values[bytes[at] | (bytes[at + 1] << 8)];
}

export function decodeBf16(bytes: Uint8Array, out: Float32Array): void {
  const view = viewOf(bytes);
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bytes.byteLength / 2; i++) bits[i] = view.getUint16(i * 2, true) << 16;
}
