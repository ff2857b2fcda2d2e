import { HttpError } from "./http-error.ts";

/** Largest bodies that may be in memory before they are read to their end. Clients that send slowly, or never end, hold them for minutes. */
const BODIES_AT_ONCE = 16;

/** The memory of bodies on their way. */
export class BodyMemory {
  readonly maxBodyBytes: number;
  #numBytes = 0;

  constructor(maxBodyBytes: number) {
    this.maxBodyBytes = maxBodyBytes;
  }

  /** Takes memory for a part of a body; `give` returns it. @throws HttpError 503 if others hold too much */
  take(numBytes: number): void {
    if (this.#numBytes + numBytes > BODIES_AT_ONCE * this.maxBodyBytes)
      throw new HttpError(
        503,
        `the server is busy: bodies of ${this.#numBytes} bytes are on their way to it; try again later`,
        { code: "server_busy", retryAfterS: 1 },
      );
    this.#numBytes += numBytes;
  }

  give(numBytes: number): void {
    this.#numBytes -= numBytes;
  }
}
