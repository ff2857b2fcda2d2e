/** Starts the built `lessismore serve` for tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { MAIN } from "./command-line.ts";

/** Limit on the start of a server, and on its end. */
const TIMEOUT_MS = 30_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServeProcess {
  /** Ends in /v1. */
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #exit: Promise<Exit>;
  #stderr = "";

  private constructor(process: ChildProcess, exit: Promise<Exit>, url: string) {
    this.#process = process;
    this.#exit = exit;
    this.url = url;
    process.stderr?.on("data", (text: Buffer) => {
      this.#stderr += String(text);
    });
  }

  /** Resolves when the server answers. */
  static async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<ServeProcess> {
    const started = spawn(
      process.execPath,
      [MAIN, "serve", "--json", "--port", "0", "--backend", "wasm", "--threads", "2", ...args],
      { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] },
    );
    const exit = new Promise<Exit>((resolve) => {
      started.once("exit", (code, signal) => resolve({ code, signal }));
    });
    let early = "";
    started.stderr.on("data", (text: Buffer) => {
      early += String(text);
    });
    const line = await within(
      new Promise<string>((resolve, reject) => {
        let text = "";
        started.stdout.on("data", (part: Buffer) => {
          text += String(part);
          if (text.includes("\n")) resolve(text);
        });
        void exit.then(({ code }) => reject(new Error(`serve ended with ${code}: ${early}`)));
      }),
      "the start of the server",
    );
    const server = new ServeProcess(started, exit, JSON.parse(line).url);
    server.#stderr = early;
    return server;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get origin(): string {
    return new URL(this.url).origin;
  }

  /** What it wrote to standard error. */
  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Resolves with how the process ended. */
  exit(): Promise<Exit> {
    return within(this.#exit, "the end of the server");
  }

  /** Ends it if it still runs. */
  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#exit;
  }

  /** A figure of /metrics; the sum over its labels. */
  async metric(name: string): Promise<number> {
    return figure(await this.#metrics(), name);
  }

  /** Pages of the cache, of one scrape. */
  async pages(): Promise<Record<"free" | "held" | "cached" | "total", number>> {
    const text = await this.#metrics();
    const pages = (state: string) => figure(text, `kv_cache_pages_${state}`);
    return { free: pages("free"), held: pages("held"), cached: pages("cached"), total: pages("total") };
  }

  /** Resolves when nothing runs or waits, and all pages are back. */
  async idle(timeoutMs = 10_000): Promise<void> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const text = await this.#metrics();
      const busy = figure(text, "num_requests_running") + figure(text, "num_requests_waiting");
      const held = figure(text, "kv_cache_pages_held");
      if (busy === 0 && held === 0) return;
      if (Date.now() > until)
        throw new Error(
          `after ${timeoutMs} ms ${busy} requests still run or wait, and ${held} pages are held`,
        );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #metrics(): Promise<string> {
    return (await fetch(`${this.origin}/metrics`)).text();
  }
}

/** A figure in the text of /metrics; the sum over its labels. */
function figure(text: string, name: string): number {
  const lines = text.split("\n").filter((line) => line.startsWith(`lessismore:${name}{`));
  if (lines.length === 0) throw new Error(`/metrics has no ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** Rejects if the work takes longer than any on a slow machine. */
async function within<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
