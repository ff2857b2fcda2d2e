import { decodeWeights, dtypeBytes, type WeightDtype } from "../../base/dtype.ts";
import { BackendError, ShapeError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import type { Buffers } from "./buffers.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { fillRandom } from "./fill-random.ts";
import type { Recorder } from "./recorder.ts";
import { type NumberedBuffer, rowPieces, WebGpuWeight, type WeightPart } from "./refs.ts";

/** Bytes handed to the queue before it is given time to take them. */
const MAX_PENDING_BYTES = 256 << 20;
const FIRST_VECTOR_BYTES = 64 << 10;

interface Chunk {
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
  readonly #chunks: Chunk[] = [];
  readonly #weights: WebGpuWeight[] = [];
  #openChunk: Chunk | undefined;
  #vectorElements = 0;
  #vectors: NumberedBuffer;
  #pendingBytes = 0;

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
    return this.#chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, this.#vectors.buffer.size);
  }

  create(name: string, dtype: WeightDtype, rows: number, cols: number): WebGpuWeight {
    const place =
      rows === 1
        ? { parts: [], vectorOffset: this.#placeVector(cols) }
        : { parts: this.#placeMatrix(name, dtype, rows, cols), vectorOffset: undefined };
    const weight = new WebGpuWeight(name, dtype, rows, cols, place);
    this.#weights.push(weight);
    return weight;
  }

  #placeVector(cols: number): number {
    const at = this.#vectorElements;
    // two vec4s past the end may be read along with a row that is no whole number of pieces
    this.#vectorElements += Math.ceil(cols / 8) * 8 + 8;
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

  #placeMatrix(name: string, dtype: WeightDtype, rows: number, cols: number): WeightPart[] {
    const rowBytes = rowPieces(dtype, cols) * 16;
    const most = Math.floor(this.#maxChunkBytes / rowBytes);
    if (most < 8)
      throw new BackendError(
        `backend webgpu: one row of weight ${name} has ${rowBytes} bytes, but the device binds at most ` +
          `${this.#maxChunkBytes} bytes at once`,
      );
    const parts: WeightPart[] = [];
    for (let firstRow = 0; firstRow < rows; ) {
      // a matrix that fits a buffer of its own is not split
      let room = this.#openChunk ? this.#maxChunkBytes - this.#openChunk.sizeBytes : 0;
      if (room < Math.min(rows - firstRow, most) * rowBytes) {
        this.#openChunk = { sizeBytes: 0, storage: undefined };
        this.#chunks.push(this.#openChunk);
        room = this.#maxChunkBytes;
      }
      const chunk = this.#openChunk as Chunk;
      const count = Math.min(rows - firstRow, Math.floor(room / rowBytes / 8) * 8);
      parts.push({
        firstRow,
        rows: count,
        offset: chunk.sizeBytes,
        chunk: undefined,
        chunkIndex: this.#chunks.indexOf(chunk),
      });
      chunk.sizeBytes += count * rowBytes;
      firstRow += count;
    }
    return parts;
  }

  /** Every place handed out has its buffer. */
  get #hasRoom(): boolean {
    return this.#chunks.every(({ storage }) => storage !== undefined);
  }

  /** Makes the buffers of all places handed out since the last time. */
  #seal(): void {
    for (const chunk of this.#chunks) chunk.storage ??= this.#buffers.storage("weights", chunk.sizeBytes);
    for (const weight of this.#weights.splice(0))
      for (const part of weight.parts) part.chunk = this.#chunks[part.chunkIndex]?.storage;
    this.#openChunk = undefined;
  }

  /** Pseudo-random matrices of one dtype a buffer, and vectors of ones. */
  fillRandom(recorder: Recorder, seed: number): void {
    const dtypes = new Map<number, WeightDtype>();
    for (const weight of this.#weights)
      for (const part of weight.parts) dtypes.set(part.chunkIndex, weight.dtype);
    this.#seal();
    this.#chunks.forEach((chunk, i) => {
      if (chunk.storage) fillRandom(recorder, chunk.storage, dtypes.get(i) ?? "f32", seed + 1000 + i, -6);
    });
    this.#device.queue.writeBuffer(this.#vectors.buffer, 0, new Float32Array(this.#vectorElements).fill(1));
  }

  /** Puts rows into their place; resolves when the queue has room for more. */
  write(weight: WebGpuWeight, firstRow: number, bytes: Uint8Array): void | Promise<void> {
    const { dtype, cols } = weight;
    const rowBytes = cols * dtypeBytes(dtype);
    const rows = bytes.byteLength / rowBytes;
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
    const { dtype, cols } = weight;
    if (weight.vectorOffset !== undefined) {
      const values = new Float32Array(cols);
      decodeWeights(bytes, dtype, values);
      this.#device.queue.writeBuffer(this.#vectors.buffer, weight.vectorOffset * 4, values);
      return;
    }
    const rowBytes = cols * dtypeBytes(dtype);
    const rows = bytes.byteLength / rowBytes;
    const stride = weight.stride * 16;
    const padded = stride === rowBytes ? wholeWords(bytes) : padRows(bytes, rowBytes, stride);
    for (const part of weight.parts) {
      const from = Math.max(firstRow, part.firstRow);
      const to = Math.min(firstRow + rows, part.firstRow + part.rows);
      if (from >= to || !part.chunk) continue;
      this.#device.queue.writeBuffer(
        part.chunk.buffer,
        part.offset + (from - part.firstRow) * stride,
        padded,
        (from - firstRow) * stride,
        (to - from) * stride,
      );
    }
    this.#pendingBytes += padded.byteLength;
  }

  /** Gives the queue time where it has much to take. */
  #drain(): void | Promise<void> {
    if (this.#pendingBytes < MAX_PENDING_BYTES) return undefined;
    this.#pendingBytes = 0;
    this.#device.queue.submit([]);
    return this.#watch.wait("the upload of weights", this.#device.queue.onSubmittedWorkDone());
  }
}

/** writeBuffer takes an ArrayBuffer view of any alignment, but its own buffer must not be shared. */
function wholeWords(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

function padRows(bytes: Uint8Array, rowBytes: number, stride: number): Uint8Array<ArrayBuffer> {
  const rows = bytes.byteLength / rowBytes;
  const out = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++)
    out.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), row * stride);
  return out;
}
