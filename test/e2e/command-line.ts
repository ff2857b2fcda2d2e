/** Runs the built command line for tests. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const MAIN = join(ROOT, "dist/cli/main.js");
const MODEL = join(ROOT, "models/pico-reasoner");

interface Golden {
  readonly task: string;
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly greedy_text: string;
  readonly answer: string;
}

/** The first golden problem of the bundled model. */
export const golden: Golden = JSON.parse(
  readFileSync(join(ROOT, "test/golden/pico-reasoner.json"), "utf8"),
)[0];
/** The user's message in it. */
export const problem = golden.prompt.slice("<|im_start|>user\n".length, golden.prompt.indexOf("<|im_end|>"));

/** Time limit for a command. */
const TIMEOUT_MS = 60_000;

export function run(args: readonly string[], input = "") {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    input,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  return { status, stdout, stderr };
}

/** A temporary folder for a test's files. Call `remove` at the end. */
export class TestFolder {
  readonly path = mkdtempSync(join(tmpdir(), "lessismore-cli-"));

  file(name: string, content: string): string {
    writeFileSync(join(this.path, name), content);
    return join(this.path, name);
  }

  /** Creates a folder of links to the bundled model, with some files replaced. */
  modelWith(name: string, files: Readonly<Record<string, string>>): string {
    const path = join(this.path, name);
    mkdirSync(path);
    for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
    for (const file of readdirSync(MODEL))
      if (!(file in files)) symlinkSync(join(MODEL, file), join(path, file));
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }
}
