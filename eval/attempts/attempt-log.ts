/** The file of finished attempts: one line each, only ever appended to, durable line by line. */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { ModelFileError } from "../../src/node/index.ts";
import type { Attempt } from "./attempt.ts";
import { attemptKey, parseAttempt } from "./attempt-schema.ts";
import { readLines, wholeBytes } from "./read-lines.ts";

export const ATTEMPTS_FILE = "attempts.jsonl";

/**
 * Reads the attempts of a folder in the order of their lines, none if it has no file. A last line without its end is left out:
 * its writer was killed, or has not ended it yet.
 * @throws ModelFileError naming a line that is no attempt
 */
export async function* readAttempts(folder: string): AsyncGenerator<Attempt> {
  const path = join(folder, ATTEMPTS_FILE);
  for await (const { text, number } of readLines(path)) {
    const attempt = parseAttempt(text);
    if (attempt === undefined)
      throw new ModelFileError(
        `reading ${path}: line ${number} is not an attempt; remove the line, and its attempt is made again`,
      );
    yield attempt;
  }
}

/** Appends attempts to a folder's file. One process at a time: take the folder's lock first. */
export class AttemptLog {
  readonly #file: FileHandle;
  readonly #path: string;
  #waiting: { readonly line: string; readonly done: (error?: unknown) => void }[] = [];
  #flushing: Promise<void> | undefined;
  #failure: unknown;

  private constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Opens the file, makes it if it is missing, and cuts off a torn last line.
   * @returns the log and the attempts in it by their keys, their responses left out.
   * @throws ModelFileError
   */
  static async open(folder: string): Promise<{ log: AttemptLog; attempts: Map<string, Attempt> }> {
    const path = join(folder, ATTEMPTS_FILE);
    let file: FileHandle;
    try {
      file = await open(path, "a+");
      const whole = await wholeBytes(file);
      if ((await file.stat()).size > whole) await file.truncate(whole);
    } catch (cause) {
      throw new ModelFileError(`opening ${path}: ${String(cause)}`, { cause });
    }
    const attempts = new Map<string, Attempt>();
    try {
      for await (const attempt of readAttempts(folder)) {
        const key = attemptKey(attempt);
        if (!attempts.has(key)) attempts.set(key, { ...attempt, response: "" });
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    return { log: new AttemptLog(file, path), attempts };
  }

  /** Resolves once the line is on the disk. Attempts that finish meanwhile share one flush. @throws ModelFileError */
  append(attempt: Attempt): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        line: `${JSON.stringify(attempt)}\n`,
        done: (error) => (error === undefined ? resolve() : reject(error)),
      });
      this.#flushing ??= this.#flush();
    });
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        // After a failure the file may end in half a line, which only the next opening cuts off.
        if (this.#failure !== undefined) throw this.#failure;
        await this.#file.appendFile(batch.map(({ line }) => line).join(""));
        await this.#file.datasync();
        for (const { done } of batch) done();
      } catch (cause) {
        this.#failure ??= new ModelFileError(`writing ${this.#path}: ${String(cause)}`, { cause });
        for (const { done } of batch) done(this.#failure);
      }
    }
    this.#flushing = undefined;
  }
}
