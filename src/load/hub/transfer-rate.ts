/** State of a download, for people. */
export interface DownloadProgress {
  /** What is fetched, as it was named. */
  readonly model: string;
  readonly phase: "waiting" | "fetching" | "checking";
  /** The file in hand. */
  readonly file: string;
  /** Bytes that are here, of all files that were missing. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Over the last seconds; 0 before any byte came. */
  readonly bytesPerSecond: number;
  /** Until the last byte at that rate; undefined while there is none. */
  readonly secondsLeft: number | undefined;
}

/** Seconds over which the rate is taken. */
const WINDOW_MS = 8000;

/** Measures the rate of a transfer over its last seconds. */
export class TransferRate {
  readonly #now: () => number;
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];
  #bytes = 0;

  /** now: milliseconds, as performance.now. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#marks.push({ at: now(), bytes: 0 });
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const at = this.#now();
    const last = this.#marks.at(-1);
    if (last && at - last.at < 100) return; // Some eighty marks are enough.
    this.#marks.push({ at, bytes: this.#bytes });
    while (this.#marks.length > 2 && at - (this.#marks[1]?.at ?? at) >= WINDOW_MS) this.#marks.shift();
  }

  /** Bytes per second. */
  get perSecond(): number {
    const [first] = this.#marks;
    const elapsedMs = this.#now() - (first?.at ?? 0);
    return elapsedMs <= 0 ? 0 : (1000 * (this.#bytes - (first?.bytes ?? 0))) / elapsedMs;
  }

  /** Seconds that so many bytes take at this rate; undefined without a rate. */
  secondsFor(bytes: number): number | undefined {
    const rate = this.perSecond;
    return rate > 0 ? bytes / rate : undefined;
  }
}
