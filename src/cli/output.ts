import type { PartKind } from "../engine/request.ts";

const DIM = "\u001b[2m";
const PLAIN = "\u001b[0m";

/** A stream to write text to, such as standard output. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * Writes the parts of a generation unchanged as they come: reasoning (dim on a terminal), a blank line, the answer. It adds
 * only line breaks: those missing for the blank line, and one after a text that ends without, so that later output starts
 * on a new line.
 */
export class PartWriter {
  readonly #stream: TextStream;
  #kind: PartKind | undefined;
  #tail = "";

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  write(kind: PartKind, text: string): void {
    if (text === "") return;
    if (this.#kind !== undefined && kind !== this.#kind) this.#separate(text);
    this.#kind = kind;
    const isDim = kind === "reasoning" && this.#stream.isTTY === true;
    this.#stream.write(isDim ? `${DIM}${text}${PLAIN}` : text);
    this.#tail = `${this.#tail}${text}`.slice(-4);
  }

  /** Ends the last line. */
  end(): void {
    if (this.#tail !== "" && !this.#tail.endsWith("\n")) this.#stream.write("\n");
  }

  /** Adds the line breaks that a blank line between two kinds still needs. */
  #separate(text: string): void {
    const before = /(\r?\n)*$/.exec(this.#tail)?.[0].replaceAll("\r", "").length ?? 0;
    const after = /^(\r?\n)*/.exec(text)?.[0].replaceAll("\r", "").length ?? 0;
    const missing = 2 - before - after;
    if (missing > 0) this.#stream.write("\n".repeat(missing));
  }
}

/** Writes each note for people once, on a line `lessismore: …`. */
export class NoteWriter {
  readonly #stream: TextStream;
  readonly #written = new Set<string>();

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  write(notes: readonly string[]): void {
    for (const note of notes) {
      if (this.#written.has(note)) continue;
      this.#written.add(note);
      this.#stream.write(`lessismore: ${note.replace(/\s*\n\s*/g, " ")}\n`);
    }
  }
}

/** Formats 1234567 bytes as "1.2 MB". */
export function formatBytes(sizeBytes: number): string {
  return formatSize(sizeBytes, 1000, ["B", "kB", "MB", "GB", "TB"]);
}

/** Formats 32768 bytes as "32 KiB", for limits, which are mostly powers of two. */
export function formatLimit(sizeBytes: number): string {
  return formatSize(sizeBytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]).replace(".0 ", " ");
}

function formatSize(sizeBytes: number, step: number, units: readonly string[]): string {
  let [value, unit] = [sizeBytes, 0];
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}
