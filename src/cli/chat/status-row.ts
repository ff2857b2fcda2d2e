/** The last row of a terminal, which stays in place while text scrolls above it. */
import type { TextStream } from "../output.ts";

export interface TerminalStream extends TextStream {
  readonly columns?: number;
  readonly rows?: number;
  on?(event: "resize", listener: () => void): unknown;
  off?(event: "resize", listener: () => void): unknown;
}

const DIM = "\u001b[2m";
const PLAIN = "\u001b[0m";
const SAVE = "\u001b7";
const RESTORE = "\u001b8";
const ERASE_LINE = "\u001b[2K";
/** In fewer rows there is no room to read. */
const LEAST_ROWS = 6;
const UPDATE_MS = 100;

/** Shows a status while the model answers. Writes nothing if the stream is no terminal. */
export class StatusRow {
  readonly #stream: TerminalStream;
  #describe: (() => string) | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #onResize = () => this.#reserve();
  readonly #onExit = () => this.end();

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  /** Shows the text of `describe`, now and until `end`. */
  begin(describe: () => string): void {
    const { isTTY, rows = 0 } = this.#stream;
    if (isTTY !== true || process.env.TERM === "dumb" || rows < LEAST_ROWS) return;
    this.#describe = describe;
    this.#stream.write("\n\u001b[1A"); // The cursor may stand in the last row.
    this.#reserve();
    this.#timer = setInterval(() => this.#draw(), UPDATE_MS);
    this.#timer.unref();
    this.#stream.on?.("resize", this.#onResize);
    process.on("exit", this.#onExit);
  }

  /** Gives the row back. */
  end(): void {
    if (!this.#describe) return;
    this.#describe = undefined;
    clearInterval(this.#timer);
    this.#stream.off?.("resize", this.#onResize);
    process.off("exit", this.#onExit);
    const { rows = 0 } = this.#stream;
    this.#stream.write(`${SAVE}\u001b[r\u001b[${rows};1H${ERASE_LINE}${RESTORE}`);
  }

  #reserve(): void {
    const { rows = 0 } = this.#stream;
    this.#stream.write(`${SAVE}\u001b[1;${Math.max(1, rows - 1)}r${RESTORE}`);
    this.#draw();
  }

  #draw(): void {
    const { rows = 0, columns = 80 } = this.#stream;
    const text = this.#describe?.().slice(0, columns - 1) ?? "";
    this.#stream.write(`${SAVE}\u001b[${rows};1H${ERASE_LINE}${DIM}${text}${PLAIN}${RESTORE}`);
  }
}
