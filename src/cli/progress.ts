import type { GenerationProgress } from "../engine/request.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { formatBytes, type TextStream } from "./output.ts";

/** Maximum redraws of the line per second. */
const MAX_RATE = 10;
/** Returns to the start of the line and clears it. */
const ERASE = "\r\u001b[K";

/** A terminal, or a stand-in. */
export interface ProgressStream extends TextStream {
  readonly columns?: number;
}

/** One line on a terminal that shows progress and overwrites itself. Writes nothing if the stream is no terminal. */
export class ProgressLine {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #isShown: boolean;
  #timer: ReturnType<typeof setInterval> | undefined;
  #text = "";
  #writtenAt = Number.NEGATIVE_INFINITY;
  // A Ctrl-C may end the process at once.
  readonly #onExit = () => this.#write("");

  /** now: milliseconds, as performance.now. */
  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#isShown = stream.isTTY === true && process.env.TERM !== "dumb";
  }

  /** Shows the text of `describe`, now and repeatedly until `erase`; undefined leaves the line empty. */
  show(describe: () => string | undefined): void {
    if (!this.#isShown) return;
    this.erase();
    process.on("exit", this.#onExit);
    const update = () => {
      if (this.#now() - this.#writtenAt >= 1000 / MAX_RATE) this.#write(describe() ?? "");
    };
    update();
    this.#timer = setInterval(update, 1000 / MAX_RATE);
    this.#timer.unref();
  }

  /** Clears the line; later output starts in its place. */
  erase(): void {
    clearInterval(this.#timer);
    process.off("exit", this.#onExit);
    this.#write("");
  }

  #write(text: string): void {
    // A line that wraps cannot be overwritten.
    const cut = text.slice(0, Math.max(0, (this.#stream.columns || 80) - 1));
    if (cut === this.#text) return;
    this.#text = cut;
    this.#writtenAt = this.#now();
    this.#stream.write(`${ERASE}${cut}`);
  }
}

/** Describes a request's progress, with the rate since its prefill was first seen. */
export class RequestProgress {
  readonly #read: () => GenerationProgress;
  readonly #now: () => number;
  #prefill: { readonly at: number; readonly tokens: number } | undefined;
  #decode: { readonly at: number; readonly tokens: number } | undefined;

  constructor(read: () => GenerationProgress, now: () => number = () => performance.now()) {
    this.#read = read;
    this.#now = now;
  }

  describe(): string | undefined {
    const { phase, promptTokens, cachedTokens, generatedTokens } = this.#read();
    const at = this.#now();
    switch (phase) {
      case "waiting":
        return "waiting";
      case "prefill": {
        this.#prefill ??= { at, tokens: cachedTokens };
        const done = Math.min(cachedTokens, promptTokens);
        const share = promptTokens === 0 ? 0 : Math.floor((100 * done) / promptTokens);
        return `reading the prompt: ${done} of ${promptTokens} tokens, ${share} %${rate(this.#prefill, cachedTokens, at)}`;
      }
      case "decode":
        this.#decode ??= { at, tokens: generatedTokens };
        return `generating: ${generatedTokens} tokens${rate(this.#decode, generatedTokens, at)}`;
      case "done":
        return undefined;
    }
  }
}

/** Describes a download: `fetching org/name: model.safetensors, 1.2 GB of 3.4 GB, 35 %, 58.0 MB/s, 38 s left`. */
export function describeDownload(progress: DownloadProgress): string {
  const { model, phase, file, doneBytes, totalBytes, bytesPerSecond, secondsLeft } = progress;
  if (phase === "waiting") return `waiting for another process that fetches ${file} of ${model}`;
  if (phase === "checking") return `checking ${file} of ${model}`;
  const share = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
  const left =
    secondsLeft === undefined || doneBytes === totalBytes ? "" : `, ${formatSeconds(secondsLeft)} left`;
  const speed = bytesPerSecond > 0 ? `, ${formatBytes(bytesPerSecond)}/s${left}` : "";
  return `fetching ${model}: ${file}, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}, ${share} %${speed}`;
}

function formatSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Formats tokens per second since a start; empty while the rate is unknown. */
function rate(start: { readonly at: number; readonly tokens: number }, tokens: number, at: number): string {
  const [count, elapsedMs] = [tokens - start.tokens, at - start.at];
  if (count <= 0 || elapsedMs <= 0) return "";
  const perSecond = (1000 * count) / elapsedMs;
  return `, ${perSecond.toFixed(perSecond < 10 ? 1 : 0)} tokens/s`;
}
