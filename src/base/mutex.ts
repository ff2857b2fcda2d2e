/** Runs asynchronous works one at a time, in order of the calls. A free mutex makes no promise of its own. */
export class Mutex {
  #isHeld = false;
  readonly #waiting: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isHeld) await new Promise<void>((resolve) => this.#waiting.push(resolve)); // `finally` below passes the mutex to the next
    this.#isHeld = true;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#isHeld = false;
    }
  }
}
