import { BackendError, ShapeError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import { dimensionsOf, type WeightSpec } from "../../base/tensor-ref.ts";
import { decodeWeights, rowBytes, type WeightFormat } from "../../base/weight-format.ts";
import type { Buffers } from "./buffers.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { fillRandom, fillRandomRows } from "./fill-random.ts";
import type { Recorder } from "./recorder.ts";
import { type NumberedBuffer, WebGpuWeight, type WeightSlice } from "./refs.ts";
import { isQuantised, packRows, rowVectors } from "./weight-rows.ts";

/** Bytes handed to the queue before it is given time to take them. */
const MAX_PENDING_BYTES = 256 << 20;
const FIRST_VECTOR_BYTES = 64 << 10;

type MatrixSpec = Extract<WeightSpec, { readonly kind: "matrix" }>;

interface Slab {
  sizeBytes: number;
  storage: NumberedBuffer | undefined;
}

/**
 * Weights on the device. Places are handed out first; the buffers are made at the first write, when the sizes are known.
 * Neighbours share a buffer, so that a kernel reaches several matrices through one binding.
 */
export class WeightStore {
  readonly #device: GPUDevice;
  readonly #watch: DeviceWatch;
  readonly #buffers: Buffers;
  readonly #maxChunkBytes: number;
  readonly #slabs: Slab[] = [];
  readonly #weights: WebGpuWeight[] = [];
  #openSlab: Slab | undefined;
  #vectorElements = 0;
  #vectors: NumberedBuffer;
  #pendingBytes = 0;
  #hasQuantised = false;

  constructor(device: GPUDevice, buffers: Buffers, watch: DeviceWatch, bindingBytes: number) {
    this.#device = device;
    this.#watch = watch;
    this.#buffers = buffers;
    this.#maxChunkBytes = Math.floor(bindingBytes / 256) * 256;
    this.#vectors = buffers.storage("vectors", FIRST_VECTOR_BYTES);
  }

  /** Norms and biases, f32. Grows: ask for it anew at each use. */
  get vectors(): NumberedBuffer {
    return this.#vectors;
  }

  get sizeBytes(): number {
    return this.#slabs.reduce((sum, slab) => sum + slab.sizeBytes, this.#vectors.buffer.size);
  }

  create(spec: WeightSpec): WebGpuWeight {
    const place =
      spec.kind === "vector"
        ? { slices: [], vectorOffset: this.#placeVector(spec.size) }
        : { slices: this.#placeMatrix(spec), vectorOffset: undefined };
    const weight = new WebGpuWeight(spec, place);
    this.#weights.push(weight);
    this.#hasQuantised ||= isQuantised(spec.format);
    return weight;
  }

  #placeVector(size: number): number {
    const at = this.#vectorElements;
    // two vec4s past the end may be read along with a row that is no whole number of pieces
    this.#vectorElements += Math.ceil(size / 8) * 8 + 8;
    const needed = this.#vectorElements * 4;
    if (needed > this.#vectors.buffer.size) {
      const larger = this.#buffers.storage("vectors", needed * 2);
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#vectors.buffer, 0, larger.buffer, 0, this.#vectors.buffer.size);
      this.#device.queue.submit([encoder.finish()]);
      this.#buffers.destroy(this.#vectors);
      this.#vectors = larger;
    }
    return at;
  }

  #placeMatrix(spec: MatrixSpec): WeightSlice[] {
    const { name, format } = spec;
    const { rows, cols } = dimensionsOf(spec);
    const paddedRowBytes = rowVectors(format, cols) * 16;
    const most = Math.floor(this.#maxChunkBytes / paddedRowBytes);
    if (most < 8)
      throw new BackendError(
        `backend webgpu: one row of weight ${name} has ${paddedRowBytes} bytes, but the device binds at most ` +
          `${this.#maxChunkBytes} bytes at once`,
      );
    const slices: WeightSlice[] = [];
    for (let firstRow = 0; firstRow < rows; ) {
      // a matrix that fits a buffer of its own is not split
      let room = this.#openSlab ? this.#maxChunkBytes - this.#openSlab.sizeBytes : 0;
      if (room < Math.min(rows - firstRow, most) * paddedRowBytes) {
        this.#openSlab = { sizeBytes: 0, storage: undefined };
        this.#slabs.push(this.#openSlab);
        room = this.#maxChunkBytes;
      }
      const slab = this.#openSlab as Slab;
      const fitting = Math.floor(room / paddedRowBytes);
      // a part is whole groups of 8 rows; the last takes what is left
      const count = rows - firstRow <= fitting ? rows - firstRow : Math.floor(fitting / 8) * 8;
      slices.push({
        firstRow,
        rows: count,
        offset: slab.sizeBytes,
        slab: undefined,
        slabIndex: this.#slabs.indexOf(slab),
      });
      slab.sizeBytes += count * paddedRowBytes;
      firstRow += count;
    }
    return slices;
  }

  /** Every place handed out has its buffer. */
  get #hasRoom(): boolean {
    return this.#slabs.every(({ storage }) => storage !== undefined);
  }

  /** Makes the buffers of all places handed out since the last time. */
  #seal(): void {
    for (const slab of this.#slabs) slab.storage ??= this.#buffers.storage("weights", slab.sizeBytes);
    for (const weight of this.#weights.splice(0))
      for (const slice of weight.slices) slice.slab = this.#slabs[slice.slabIndex]?.storage;
    this.#openSlab = undefined;
  }

  /** True if a matrix has a quantised format. */
  get hasQuantised(): boolean {
    return this.#hasQuantised;
  }

  /** Pseudo-random matrices, floats of one format per buffer, and vectors of ones. */
  fillRandom(recorder: Recorder, seed: number): void {
    const made = [...this.#weights];
    const formats = new Map<number, WeightFormat>();
    for (const { format, slices } of made)
      if (!isQuantised(format)) for (const { slabIndex } of slices) formats.set(slabIndex, format);
    this.#seal();
    formats.forEach((format, i) => {
      const storage = this.#slabs[i]?.storage;
      if (storage) fillRandom(recorder, storage, format, seed + 1000 + i, -6);
    });
    made.forEach((weight, i) => {
      for (const slice of weight.slices) fillRandomRows(recorder, weight, slice, seed + 2000 + i);
    });
    this.#device.queue.writeBuffer(this.#vectors.buffer, 0, new Float32Array(this.#vectorElements).fill(1));
  }

  /** Uploads rows to their slices; resolves when the queue has room for more. */
  write(weight: WebGpuWeight, firstRow: number, bytes: Uint8Array): void | Promise<void> {
    const { format, cols } = weight;
    const oneRow = rowBytes(format, cols);
    const rows = bytes.byteLength / oneRow;
    if (!Number.isInteger(rows) || firstRow + rows > weight.rows)
      throw new ShapeError(
        `weight ${weight.name}: ${bytes.byteLength} bytes from row ${firstRow} do not fit [${weight.rows}, ${cols}]`,
      );
    if (this.#hasRoom) {
      this.#put(weight, firstRow, bytes);
      return this.#drain();
    }
    const make = () => {
      this.#seal();
      this.#put(weight, firstRow, bytes);
    };
    const what = () =>
      `${mebibytes(this.sizeBytes)} of weights beside ${mebibytes(this.#buffers.sizeBytes - this.sizeBytes)}`;
    return this.#watch.allocate(make, what).then(() => this.#drain());
  }

  #put(weight: WebGpuWeight, firstRow: number, bytes: Uint8Array): void {
    const { format, cols } = weight;
    if (weight.vectorOffset !== undefined) {
      const values = new Float32Array(cols);
      decodeWeights(bytes, format, values);
      this.#device.queue.writeBuffer(this.#vectors.buffer, weight.vectorOffset * 4, values);
      return;
    }
    const oneRow = rowBytes(format, cols);
    const rows = bytes.byteLength / oneRow;
    const stride = weight.stride * 16;
    const padded = rowsOnDevice(weight, bytes);
    for (const slice of weight.slices) {
      const from = Math.max(firstRow, slice.firstRow);
      const to = Math.min(firstRow + rows, slice.firstRow + slice.rows);
      if (from >= to || !slice.slab) continue;
      this.#device.queue.writeBuffer(
        slice.slab.buffer,
        slice.offset + (from - slice.firstRow) * stride,
        padded,
        ((from - firstRow) * stride) / padded.BYTES_PER_ELEMENT,
        ((to - from) * stride) / padded.BYTES_PER_ELEMENT,
      );
    }
    this.#pendingBytes += padded.byteLength;
  }

  /** Waits for the queue if many bytes are pending. */
  #drain(): void | Promise<void> {
    if (this.#pendingBytes < MAX_PENDING_BYTES) return undefined;
    this.#pendingBytes = 0;
    this.#device.queue.submit([]);
    return this.#watch.wait("the upload of weights", this.#device.queue.onSubmittedWorkDone());
  }
}

/** Rows as `weight-rows.ts` has them. bytes: whole rows as in the file. */
function rowsOnDevice(
  { format, cols, stride }: WebGpuWeight,
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (isQuantised(format)) return packRows(format, cols, bytes);
  const oneRow = rowBytes(format, cols);
  return stride * 16 === oneRow ? wholeWords(bytes) : padRows(bytes, oneRow, stride * 16);
}

/** writeBuffer takes an ArrayBuffer view of any alignment, but its own buffer must not be shared. */
function wholeWords(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

function padRows(bytes: Uint8Array, oneRow: number, stride: number): Uint8Array<ArrayBuffer> {
  const rows = bytes.byteLength / oneRow;
  const out = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++)
    out.set(bytes.subarray(row * oneRow, (row + 1) * oneRow), row * stride);
  return out;
}
