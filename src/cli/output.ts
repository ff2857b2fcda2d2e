import type { PartKind } from "../engine/request.ts";

const DIM = "\u001b[2m";
const PLAIN = "\u001b[0m";

/** A stream to write text to, such as standard output. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Writes the parts of a generation as they come: reasoning (dim on a terminal), a blank line, the answer. */
export class PartWriter {
  readonly #stream: TextStream;
  #kind: PartKind | undefined;
  #tail = "";

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  write(kind: PartKind, text: string): void {
    const isNew = kind !== this.#kind;
    const isAnswerAfterReasoning = isNew && this.#kind === "reasoning";
    // The line breaks around the thinking markers are layout of the chat format, not text.
    const shown = isNew || this.#tail === "" ? text.replace(/^[\r\n]+/, "") : text;
    if (shown === "") return;
    if (isAnswerAfterReasoning)
      this.#emit("answer", `${"\n".repeat(2 - lineBreaksAtEnd(this.#tail))}${shown}`);
    else this.#emit(kind, shown);
    this.#kind = kind;
  }

  /** Ends the last line. */
  end(): void {
    if (this.#tail !== "" && !this.#tail.endsWith("\n")) this.#stream.write("\n");
  }

  #emit(kind: PartKind, text: string): void {
    const isDim = kind === "reasoning" && this.#stream.isTTY === true;
    this.#stream.write(isDim ? `${DIM}${text}${PLAIN}` : text);
    this.#tail = `${this.#tail}${text}`.slice(-2);
  }
}

function lineBreaksAtEnd(text: string): number {
  return text.length - text.replace(/\n{1,2}$/, "").length;
}

/** 1234567 bytes as "1.2 MB". */
export function formatBytes(sizeBytes: number): string {
  return formatSize(sizeBytes, 1000, ["B", "kB", "MB", "GB", "TB"]);
}

/** 32768 bytes as "32 KiB": for limits, which are mostly powers of two. */
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

/** A policy as an attention spec spells it: `less-is-more:budget=256,layers=2+7`. */
export function formatAttention(name: string, settings: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join("+") : String(value)}`);
  return pairs.length === 0 ? name : `${name}:${pairs.join(",")}`;
}
