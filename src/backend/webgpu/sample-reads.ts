import { BackendError } from "../../base/errors.ts";
import { type InFlightSample, MAX_IN_FLIGHT_SAMPLES } from "../backend.ts";
import { type Buffers, USAGE } from "./buffers.ts";
import type { Recorder } from "./recorder.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Brings drawn tokens to the host. Staging buffers go round, so that nothing is made in steady state. */
export class SampleReads {
  readonly #recorder: Recorder;
  readonly #buffers: Buffers;
  readonly #drawn: NumberedBuffer;
  readonly #free: NumberedBuffer[] = [];
  #underWay = 0;

  /** drawn: u32 [maxBatchSequences], where draws leave their tokens. */
  constructor(recorder: Recorder, buffers: Buffers, drawn: NumberedBuffer) {
    this.#recorder = recorder;
    this.#buffers = buffers;
    this.#drawn = drawn;
  }

  /** @throws BackendError when too many draws are on their way. */
  check(): void {
    if (this.#underWay >= MAX_IN_FLIGHT_SAMPLES)
      throw new BackendError(
        `sample: ${this.#underWay} draws are on their way already; await the tokens of one of them first`,
      );
  }

  /** Submits what was recorded and fetches the first `rows` drawn tokens, whether or not they are asked for. */
  start(rows: number): InFlightSample {
    const size = this.#drawn.buffer.size;
    const staging =
      this.#free.pop() ?? this.#buffers.create("drawn tokens read", size, USAGE.mapRead | USAGE.copyTarget);
    // a copy in any case: mapping waits for the last use of the buffer
    this.#recorder.copy(this.#drawn.buffer, 0, staging.buffer, 0, Math.max(1, rows) * 4);
    this.#recorder.submit();
    this.#underWay++;
    const tokens = this.#fetch(staging, rows);
    tokens.catch(() => {}); // a draw may be given up; who asks for its tokens gets the error
    return { tokens: () => tokens };
  }

  async #fetch(staging: NumberedBuffer, rows: number): Promise<Uint32Array> {
    try {
      await this.#recorder.map(staging, "drawn tokens");
      const tokens = new Uint32Array(staging.buffer.getMappedRange()).slice(0, rows);
      staging.buffer.unmap();
      this.#free.push(staging);
      return tokens;
    } finally {
      this.#underWay--;
    }
  }
}
