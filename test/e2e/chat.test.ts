/** The chat of the built command line: through a pipe, and in a real terminal (util-linux' `script`). */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { golden, MAIN, problem, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
const started: ChildProcess[] = [];
afterAll(() => {
  for (const process of started) process.kill("SIGKILL");
  folder.remove();
});

const OPTIONS = ["--backend", "wasm", "--threads", "1", "--temperature", "0", "--no-history"];
/** No problem that it knows: the bundled model goes on to the end of its context. */
const ENDLESS = "Hello";
const WAIT_MS = 40_000;

it("answers what comes through a pipe, message by message, and keeps the conversation", () => {
  const saved = join(folder.path, "chat.json");
  const block = ['"""', problem, '"""'].join("\n");
  const lines = [
    block,
    "/retry",
    "/attention less-is-more:budget=100000",
    "/retry",
    `/save ${saved}`,
    "/quit",
  ];
  const { status, stdout, stderr } = run(["chat", ...OPTIONS], `${lines.join("\n")}\n`);
  expect(status).toBe(0);
  // Once asked and twice again: the same greedy answer.
  const answers = stdout.split(`\\boxed{${golden.answer}}`);
  expect(answers).toHaveLength(4);
  expect(stderr).toMatch(
    /\[\d+ tokens, [\d.]+ ms a token; .* read 100 % of the cache; context \d+ of 8192\]/,
  );
  const { messages, attention } = JSON.parse(readFileSync(saved, "utf8"));
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant"]);
  expect([messages[0].content, attention]).toEqual([problem.trim(), "less-is-more:budget=100000"]);
  const more = run(["chat", ...OPTIONS, "--load", saved], "/retry\n");
  expect([more.status, more.stdout.includes(`\\boxed{${golden.answer}}`)]).toEqual([0, true]);
});

/** Another problem, after the first. */
const SECOND = ['"""', problem.replaceAll("=", " = "), '"""'];
/** The tokens of a prompt that were cached, and all of them, as the line after an answer says. */
function cachedOf(text: string): readonly number[] {
  const [, cached = "0", prompt = "0"] = /; (\d+) of (\d+) tokens before it were cached;/.exec(text) ?? [];
  return [Number(cached), Number(prompt)];
}

it("keeps the cache beside the conversation: the first turn after /load reads what is new alone", async () => {
  const saved = join(folder.path, "kept.json");
  const first = ['"""', problem, '"""'];
  const whole = run(["chat", ...OPTIONS], `${[...first, ...SECOND].join("\n")}\n`);
  const before = run(["chat", ...OPTIONS], `${[...first, `/save ${saved}`].join("\n")}\n`);
  const [, tokens = "0"] =
    /the cache of (\d+) tokens to \S+kept\.json\.safetensors \([\d.]+ MB\)/.exec(before.stderr) ?? [];
  expect(Number(tokens)).toBeGreaterThan(100);
  const terminal = new Terminal(["--load", saved]);
  await terminal.until(`the cache of its first ${tokens} tokens from ${saved}.safetensors`);
  await terminal.until("> ");
  terminal.type(`${SECOND.join("\r")}\r`);
  const turn = plain(await terminal.until("of 8192]"));
  const [cached = 0, prompt = 0] = cachedOf(turn);
  expect(cached).toBe(Number(tokens));
  // the question, and less than a page before it
  const { length } = golden.prompt_ids;
  expect(prompt - cached).toBeLessThan(1.3 * length + 24);
  // what a terminal shows of lines, without their ends
  const squeezed = (text: string) => text.replace(/\s+/g, " ");
  const answer = squeezed(whole.stdout.slice(before.stdout.length)).trim();
  expect(answer.length).toBeGreaterThan(20);
  expect(squeezed(turn)).toContain(answer);
  terminal.type("\u0004");
  expect(await terminal.ended).toBe(0);
});

it("goes on from the text with another model or a damaged cache, and says why", () => {
  const saved = join(folder.path, "other.json");
  const lines = ['"""', problem, '"""', `/save ${saved}`];
  expect(run(["chat", ...OPTIONS], `${lines.join("\n")}\n`).status).toBe(0);
  const file = `${saved}.safetensors`;
  const again = (...options: string[]) => run(["chat", ...OPTIONS, ...options, "--load", saved], "/retry\n");
  const other = again("--dtype", "q8");
  expect(other.stderr).toMatch(
    /the next turn reads the conversation anew: .* it is of the model .* another precision/,
  );
  expect(other.stderr).toMatch(/\[\d+ tokens, /);
  const q8 = again("--cache-dtype", "q8");
  expect(q8.stderr).toMatch(
    /reads the conversation anew: .* it has cacheDtype "f32" .* this engine cacheDtype q8/,
  );
  expect(q8.stdout).toContain("boxed");
  truncateSync(file, 5000);
  const cut = again();
  expect(cut.stderr).toMatch(/the next turn reads the conversation anew: loading a session: .* it was cut/);
  expect([cut.status, cut.stdout.includes(`\\boxed{${golden.answer}}`)]).toEqual([0, true]);
  truncateSync(file, 2 ** 34);
  expect(again().stderr).toMatch(/anew: .* has 17179.9 MB, more than the cache of a whole context/);
  rmSync(file);
  expect(again().stderr).not.toContain("anew");
});

it("ends the reasoning at its budget, and says so", () => {
  const lines = ["/think 5", ...['"""', problem, '"""']];
  const { stdout, stderr } = run(["chat", ...OPTIONS, "--max-tokens", "20"], `${lines.join("\n")}\n`);
  expect(stderr).toContain("reasoning: at most 5 tokens");
  expect(stderr).toMatch(/reasoning ended by its budget/);
  expect(stdout).toMatch(/\n\n/); // An answer follows.
});

it("says what is wrong with a command, and goes on", () => {
  const lines = [
    "/atention full",
    "/attention nonsense",
    "/think maybe",
    "/load /nowhere.json",
    "/save",
    "/retry",
  ];
  const { status, stderr } = run(["chat", ...OPTIONS, "--max-tokens", "4"], `${lines.join("\n")}\n1+1?\n`);
  expect(status).toBe(0);
  for (const reason of [
    'did you mean "attention"',
    'unknown attention "nonsense"',
    'expected on, off or a number of tokens, got "maybe"',
    "no such file",
    "/save: expected a file",
    "there is no answer to try again",
  ])
    expect(stderr).toContain(reason);
  expect(stderr).toMatch(/\[[1-4] tokens, /);
});

/** Without what draws the status row, and without styles. */
function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
  return text.replace(/\u001b7.*?\u001b8/gs, "").replace(/\u001b\[\d*m/g, "");
}

/** A terminal with the chat in it. */
class Terminal {
  readonly #process: ChildProcess;
  #text = "";
  #seen = 0;
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[]) {
    const command = [process.execPath, MAIN, "chat", ...OPTIONS, ...args]
      .map((part) => `'${part}'`)
      .join(" ");
    const env = { ...process.env, TERM: "xterm-256color" };
    this.#process = spawn("script", ["-qfec", `stty rows 24 cols 100; ${command}`, "/dev/null"], { env });
    started.push(this.#process);
    this.#process.stdout?.on("data", (data: Buffer) => {
      this.#text += data.toString();
    });
    this.ended = new Promise((resolve) => this.#process.on("exit", resolve));
  }

  type(text: string): void {
    this.#process.stdin?.write(text);
  }

  /** Waits for text that was not waited for before; returns what came up to its end. */
  async until(text: string): Promise<string> {
    for (
      const end = performance.now() + WAIT_MS;
      performance.now() < end;
      await new Promise((r) => setTimeout(r, 10))
    ) {
      const at = this.#text.indexOf(text, this.#seen);
      if (at < 0) continue;
      const came = this.#text.slice(this.#seen, at + text.length);
      this.#seen = at + text.length;
      return came;
    }
    throw new Error(
      `no ${JSON.stringify(text)} within ${WAIT_MS} ms; came: ${JSON.stringify(this.#text.slice(this.#seen))}`,
    );
  }
}

it("in a terminal: pasted lines are one message, Ctrl-C stops the turn and not the program, Ctrl-D leaves", async () => {
  const terminal = new Terminal([]);
  await terminal.until("/help lists");
  await terminal.until("> ");
  terminal.type(`${problem}\r`);
  const turn = await terminal.until("of 8192]");
  expect(plain(turn)).toContain(`\\boxed{${golden.answer}}`);
  expect(turn).toContain("\u001b[2m"); // Reasoning is dim.
  expect(turn).toContain("\u001b[1;23r"); // Text scrolls above the status.
  expect(turn.lastIndexOf("\u001b[r")).toBeGreaterThan(turn.lastIndexOf("\u001b[1;23r"));
  await terminal.until("> ");
  terminal.type("half a line\u0003");
  await terminal.until("^C");
  terminal.type("\u0003");
  await terminal.until("Ctrl-D or /quit leaves");
  terminal.type("\u001b[A");
  await terminal.until(problem.trim().split("\n").at(-1) ?? ""); // The line before.
  terminal.type("\u0003");
  await terminal.until("^C");
  terminal.type("/reset\r");
  await terminal.until("the conversation is forgotten");
  await terminal.until("> ");
  terminal.type(`${ENDLESS}\r`);
  await terminal.until(" ms a token; context ");
  terminal.type("\u0003");
  await terminal.until("stopped");
  await terminal.until("> ");
  terminal.type("/help\r");
  await terminal.until("/quit");
  terminal.type("\u0004");
  expect(await terminal.ended).toBe(0);
});
