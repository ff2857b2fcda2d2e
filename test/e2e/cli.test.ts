import { spawn, spawnSync } from "node:child_process";
import { existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { golden, MAIN, problem, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());
const file = (name: string, content: string) => folder.file(name, content);

describe("generate", () => {
  const greedy = ["generate", "--temperature", "0", "--attention", "full", "--json"];

  it("solves the golden problem from the argument: text, counts, timings and nothing else", () => {
    const { status, stdout } = run([...greedy, problem]);
    expect(status).toBe(0);
    const result = JSON.parse(stdout);
    expect(Object.keys(result)).toEqual([
      ...["text", "reasoning", "answer", "promptTokens", "completionTokens", "tokenIds", "finishReason"],
      ...["backend", "attention", "timings", "attendedFraction", "notes"],
    ]);
    expect(result.tokenIds).toEqual(golden.greedy_ids);
    expect(result.promptTokens).toBe(golden.prompt_ids.length);
    expect(result.completionTokens).toBe(golden.greedy_ids.length);
    expect(result.answer).toContain(`\\boxed{${golden.answer}}`);
    expect(result.finishReason).toBe("stop");
    expect(result.attention).toEqual({ name: "full", settings: {} });
    expect(result.attendedFraction).toBe(1);
    expect(Object.keys(result.timings)).toEqual(["loadMs", "prefillMs", "decodeMs", "msPerToken"]);
  });

  it("gives the same from standard input, a file, a raw text and token ids", () => {
    const sources: [string[], string?][] = [
      [[], `${problem}\n`],
      [["--prompt-file", file("problem.txt", `${problem}\n`)]],
      [["--raw", "--prompt-file", file("raw.txt", golden.prompt)]],
      [["--token-ids", file("ids.json", JSON.stringify(golden.prompt_ids))]],
    ];
    for (const [args, input] of sources) {
      const { status, stdout, stderr } = run([...greedy, "--max-tokens", "12", ...args], input);
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout).tokenIds).toEqual(golden.greedy_ids.slice(0, 12));
    }
  });

  it("writes reasoning, a blank line and the answer to standard output, the summary to standard error", () => {
    const { status, stdout, stderr } = run(["generate", "--attention", "full", problem]);
    expect(status).toBe(0);
    expect(stdout).toBe(
      `${golden.greedy_text.replace("\n</think>\n\n", "\n\n").replace("<|im_end|>", "")}\n`,
    );
    expect(stderr).toMatch(/ms a token .*full read 100 %/);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("appends a trace of sampled steps without changing a token", () => {
    const trace = file("trace.jsonl", "");
    const args = [
      "generate",
      "--attention",
      "less-is-more:budget=64,layers=2+7",
      "--json",
      "--max-tokens",
      "20",
      problem,
    ];
    const plain = run(args);
    const { status, stdout, stderr } = run([...args, "--trace", trace, "--trace-every", "6"]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).tokenIds).toEqual(JSON.parse(plain.stdout).tokenIds);
    const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.map(({ step }) => step)).toEqual([0, 6, 12, 18]);
    expect(records[0]).toMatchObject({
      attention: "less-is-more:budget=64,recency=0.25,sinks=4,layers=2+7",
      position: golden.prompt_ids.length + 1,
      isSparse: true,
    });
  });

  it("uses the model's own attention where none is named, and prints its settings", () => {
    const { stdout } = run(["generate", "--max-tokens", "4", "--json", problem]);
    const { attention } = JSON.parse(stdout);
    expect(attention.name).toBe("less-is-more");
    expect(attention.settings).toMatchObject({ budget: 256, layers: [2, 7] });
  });

  it("solves the problem with an int8 cache as well, and inspect counts its bytes", () => {
    const { status, stdout, stderr } = run([...greedy, "--backend", "wasm", "--cache-dtype", "q8", problem]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ tokenIds: golden.greedy_ids, notes: [] });
    // ten layers, two kv heads of 64: 2 * 10 * 2 * (64 + 4)
    const report = JSON.parse(run(["inspect", "--cache-dtype", "q8", "--no-scan", "--json"]).stdout);
    expect(report).toMatchObject({ cacheDtype: "q8", kvBytesPerToken: 2720 });
  });

  it("runs past the end of sequence when asked, and ends at a stop text", () => {
    const more = run([...greedy, "--ignore-eos", "--max-tokens", "100", problem]);
    expect(JSON.parse(more.stdout)).toMatchObject({ completionTokens: 100, finishReason: "length" });
    const less = run([...greedy, "--stop", "\\boxed", problem]);
    expect(JSON.parse(less.stdout)).toMatchObject({ answer: "The answer is ", finishReason: "stop" });
  });
});

describe("inspect", () => {
  it("reports on the bundled model", () => {
    const { status, stdout } = run(["inspect", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      layers: 10,
      queryHeads: 8,
      kvHeads: 2,
      headDim: 64,
      problems: [],
    });
    expect(run(["inspect", "--attention", "quest:budget=128"]).stdout).toContain("quest:budget=128");
    expect(run(["inspect"]).stdout).toMatch(/\nscan +every weight is finite\n$/);
    expect(run(["inspect", "--no-scan"]).stdout).toMatch(/\nscan +not done \(--no-scan\)\n$/);
  });
});

describe("a wrong command line ends with 2, one line on standard error and nothing on standard output", () => {
  it.each<[string, string[]]>([
    ["an unknown command", ["generat"]],
    ["an unknown option", ["generate", "x", "--max-token", "3"]],
    ["an option without its value", ["generate", "x", "--max-tokens"]],
    ["two arguments", ["generate", "x", "y"]],
    ["no prompt", ["generate"]],
    ["two prompts", ["generate", "x", "--prompt-file", "p.txt"]],
    ["a prompt and token ids", ["generate", "x", "--token-ids", "t.json"]],
    ["an unknown backend", ["generate", "x", "--backend", "cuda"]],
    ["an unknown storage type of the cache", ["generate", "x", "--cache-dtype", "q4"]],
    ["threads that are no number", ["generate", "x", "--threads", "abc"]],
    ["half a thread", ["generate", "x", "--threads", "1.5"]],
    ["no thread", ["generate", "x", "--threads", "0"]],
    ["threads beyond any machine", ["generate", "x", "--backend", "wasm", "--threads", "99999"]],
    ["a context of one token", ["generate", "x", "--context-length", "1"]],
    ["NaN tokens", ["generate", "x", "--max-tokens", "NaN"]],
    ["negative tokens", ["generate", "x", "--max-tokens=-1"]],
    ["no tokens", ["generate", "x", "--max-tokens", "0"]],
    ["a negative temperature", ["generate", "x", "--temperature=-1"]],
    ["an infinite temperature", ["generate", "x", "--temperature", "Infinity"]],
    ["a top-p of 0", ["generate", "x", "--top-p", "0"]],
    ["a top-p above 1", ["generate", "x", "--top-p", "1.5"]],
    ["a broken top-k", ["generate", "x", "--top-k", "1.5"]],
    ["a min-p above 1", ["generate", "x", "--min-p", "2"]],
    ["a repetition penalty of 0", ["generate", "x", "--repetition-penalty", "0"]],
    ["a seed that is no number", ["generate", "x", "--seed", "now"]],
    ["an empty stop text", ["generate", "x", "--stop", ""]],
    ["a context past the model's", ["generate", "x", "--context-length", "99999999"]],
    ["an unknown attention", ["generate", "x", "--attention", "fulll"]],
    ["a trace into no folder", ["generate", "x", "--trace", "no-such-folder/trace.jsonl"]],
    ["every n-th step of no trace", ["generate", "x", "--trace-every", "3"]],
    ["an unknown setting", ["generate", "x", "--attention", "less-is-more:budgt=3"]],
    ["an impossible budget", ["generate", "x", "--attention", "less-is-more:budget=0"]],
    ["a layer the model lacks", ["generate", "x", "--attention", "less-is-more:layers=2+99"]],
    ["an unknown attention to inspect", ["inspect", "--attention", "fulll"]],
    ["a layer the inspected model lacks", ["inspect", "--attention", "less-is-more:layers=2+99"]],
    ["two models", ["inspect", "a", "b"]],
    ["a conversation and a prompt", ["generate", "x", "--messages", "c.json"]],
    ["a raw conversation", ["generate", "--raw", "--messages", "c.json"]],
    ["a system message past the template", ["generate", "x", "--raw", "--system", "s"]],
    ["thinking past the template", ["generate", "--token-ids", "t.json", "--no-think"]],
    ["a template option that is no JSON", ["generate", "x", "--chat-template-option", "a=True"]],
    ["thinking set twice", ["generate", "x", "--think", "--chat-template-option", "enable_thinking=true"]],
    ["threads of a GPU", ["generate", "x", "--backend", "webgpu", "--threads", "2"]],
    ["a blank prompt", ["generate", " "]],
  ])("%s", (_, args) => {
    const { status, stdout, stderr } = run([...args, ...(args[0] === "generat" ? [] : ["--json"])]);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^lessismore: [^\n]+\n$/);
    expect(status).toBe(2);
  });
});

it("an unknown option or command names the nearest known one", () => {
  expect(run(["generate", "x", "--max-token", "3"]).stderr).toContain("Did you mean --max-tokens?");
  expect(run(["generate", "x", "--thinking"]).stderr).toContain("Did you mean --think?");
  expect(run(["generat", "x"]).stderr).toContain("Did you mean generate?");
});

describe("work that fails ends with 1, one line on standard error and nothing on standard output", () => {
  it.each<[string, () => string[]]>([
    ["a model that is not there", () => ["generate", "x", "--model", join(folder.path, "none")]],
    ["a folder that holds no model", () => ["inspect", folder.path]],
    ["a prompt file that is not there", () => ["generate", "--prompt-file", join(folder.path, "none")]],
    ["a folder in place of a prompt file", () => ["generate", "--prompt-file", folder.path]],
    [
      "a conversation that is none",
      () => ["generate", "--messages", file("bad-chat.json", '[{"role":"user"}]')],
    ],
    ["token ids that are no JSON", () => ["generate", "--token-ids", file("bad.json", "[1,")]],
    ["token ids outside the vocabulary", () => ["generate", "--token-ids", file("big.json", "[512]")]],
    ["a prompt longer than the context", () => ["generate", problem, "--context-length", "16"]],
  ])("%s", (_, args) => {
    const { status, stdout, stderr } = run([...args(), "--json"]);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^lessismore: [^\n]+\n$/);
    expect(status).toBe(1);
  });
});

describe("doctor", () => {
  it("says what there is as one JSON object, and ends with 0 where all that counts is right", () => {
    const { status, stdout } = run(["doctor", "--json"]);
    const report = JSON.parse(stdout);
    expect(Object.keys(report)).toEqual(["node", "platform", "cpu", "wasm", "webgpu", "auto", "isSound"]);
    expect(report.node).toBe(process.version);
    expect(report.wasm.selfTest.rows.length).toBeGreaterThan(10);
    expect(["wasm", "webgpu"]).toContain(report.auto.backend);
    expect(["kept", "measured", "default"]).toContain(report.wasm.tuning.from);
    expect(report.wasm.tuning.choices.itemBf16).toBeGreaterThan(0);
    expect(status).toBe(report.isSound ? 0 : 1);
  });

  it("says it to people, with no line past 120 columns", () => {
    const { status, stdout, stderr } = run(["doctor"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^node {11}v\d+/);
    expect(stdout).toMatch(/\nauto {11}(wasm|webgpu): .+\n$/);
    expect(stdout).toMatch(/\n {2}tuning {7}(measured now in \d+ ms|kept from|the usual choices)/);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThan(120);
  });

  it("measures the processor anew where it is told to", () => {
    const { tuning } = JSON.parse(run(["doctor", "--measure", "--json"]).stdout).wasm;
    expect(tuning.from).not.toBe("kept");
    expect(tuning.elapsedMs).toBeGreaterThanOrEqual(0);
  });
});

describe("other ways to end", () => {
  it("help and version end with 0 on standard output", () => {
    expect(run(["--help"])).toMatchObject({ status: 0, stderr: "" });
    for (const command of [[], ["generate"], ["inspect"], ["doctor"]]) {
      const { status, stdout, stderr } = run([...command, "--help"]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    }
    expect(run(["generate", "--help"]).stdout).toContain("--attention");
    expect(run(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(run([])).toMatchObject({ status: 2, stdout: "" });
  });

  it("Ctrl-C keeps what is written and ends with 130", async () => {
    const { code, stdout, stderr } = await interrupt([
      "generate",
      "--ignore-eos",
      "--max-tokens",
      "8000",
      problem,
    ]);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stdout.endsWith("\n")).toBe(true);
    expect(stderr).toBe("lessismore: interrupted\n");
    expect(code).toBe(130);
  });

  it("Ctrl-C while a long prompt is read ends with 130 within 2.5 s", async () => {
    const child = spawn(process.execPath, [MAIN, "generate", "--backend", "wasm", "--threads", "1"]);
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    child.stdin.end(`${problem}\n`.repeat(40)); // some 5,000 tokens: seconds
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const start = performance.now();
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(performance.now() - start).toBeLessThan(2500);
    expect(stdout).toBe("");
  });

  it.skipIf(!existsSync("/dev/full"))("a disk that is full is an error in one line", () => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, "inspect", "--no-scan"], {
      stdio: ["ignore", openSync("/dev/full", "w"), "pipe"],
      encoding: "utf8",
    });
    expect(stderr).toMatch(/^lessismore: cannot write to standard output: [^\n]+\n$/);
    expect(status).toBe(1);
  });

  it("a reader that leaves early is no error", async () => {
    const child = spawn(process.execPath, [MAIN, "generate", "--ignore-eos", "--max-tokens", "400", problem]);
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });
});

/** Starts the program and sends SIGINT once it has written something. */
function interrupt(
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args]);
  let [stdout, stderr] = ["", ""];
  child.stdout.once("data", () => child.kill("SIGINT"));
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}
