/** Finds stop texts in a stream: holds back what may still become one. */
export class StopText {
  readonly #stops: readonly string[];
  #held = "";
  /** True once a stop text was found; nothing comes out afterwards. */
  found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Text that is certainly before any stop text. */
  push(text: string): string {
    if (this.found) return "";
    if (this.#stops.length === 0) return text;
    const all = this.#held + text;
    const at = Math.min(...this.#stops.map((stop) => all.indexOf(stop)).filter((i) => i >= 0));
    if (Number.isFinite(at)) {
      this.found = true;
      this.#held = "";
      return all.slice(0, at);
    }
    const hold = Math.max(...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - hold);
    return all.slice(0, all.length - hold);
  }

  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Length of the longest end of `text` that is a proper beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--)
    if (text.endsWith(stop.slice(0, n))) return n;
  return 0;
}
