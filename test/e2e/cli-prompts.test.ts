/** Prompts and output of `lessismore generate`, to the character. */
import { rmSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { golden, problem, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

describe("generate", () => {
  const greedy = ["generate", "--temperature", "0", "--attention", "full", "--backend", "wasm"];
  it.each<[string, string[]]>([
    [" \\boxed", []],
    ["\n#3", ["--starts-in-reasoning"]],
  ])("a raw prompt that ends before %j continues the golden text, with a line break at its end", (at, options) => {
    const cut = golden.greedy_text.indexOf(at);
    expect(cut).toBeGreaterThan(0);
    const prompt = golden.prompt + golden.greedy_text.slice(0, cut);
    const { status, stdout, stderr } = run([...greedy, "--raw", ...options, prompt]);
    expect(status, stderr).toBe(0);
    const text = golden.greedy_text.slice(cut).replace("<|im_end|>", "").replace("\n</think>\n\n", "\n\n");
    expect(stdout).toBe(`${text}\n`);
  });

  it("a conversation from a file, standard input or arguments is rendered by the template", () => {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "hi" },
    ];
    const args = [...greedy, "--json", "--max-tokens", "3"];
    const turn = (role: string, text: string) => `<|im_start|>${role}\n${text}<|im_end|>\n`;
    const raw = `${turn("system", "Be brief.")}${turn("user", "hi")}<|im_start|>assistant\n<think>\n`;
    const expected = JSON.parse(run([...args, "--raw", raw]).stdout);
    const outs = [
      run([...args, "--messages", folder.file("chat.json", JSON.stringify({ messages }))]),
      run([...args, "--messages", "-"], JSON.stringify(messages)),
      run([...args, "--system", "Be brief.", "hi"]),
      run([...args, "--system", "Be brief.", "--messages", "-"], JSON.stringify(messages.slice(1))),
    ];
    for (const { stdout, stderr } of outs) {
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toMatchObject({
        tokenIds: expected.tokenIds,
        promptTokens: expected.promptTokens,
      });
    }
  });

  it("a model without a chat template is refused with the option that runs it", () => {
    const model = folder.modelWith("plain", {});
    rmSync(`${model}/chat_template.jinja`);
    const { status, stderr } = run([...greedy, "-m", model, "hi"]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/no chat template .*--raw on the command line/),
    ]);
    expect(run([...greedy, "--max-tokens", "1", "-m", model, "--raw", "hi"]).status).toBe(0);
  });

  it("--think, --no-think and --chat-template-option reach the template", () => {
    const template =
      "{{ messages[0].content }}{% if enable_thinking is defined %}{{ '?' if enable_thinking else '??' }}{% endif %}{{ '?' * n if n else '' }}";
    const model = folder.modelWith("thinking", { "chat_template.jinja": template });
    const args = [...greedy, "--json", "--max-tokens", "1", "-m", model, "hi"];
    const tokens = (...more: string[]) => {
      const { stdout, stderr } = run([...args, ...more]);
      expect(stderr).toBe("");
      return JSON.parse(stdout).promptTokens;
    };
    const plain = tokens();
    expect(tokens("--think")).toBe(plain + 1);
    expect(tokens("--no-think")).toBe(plain + 2);
    expect(tokens("--chat-template-option", "enable_thinking=true")).toBe(plain + 1);
  });

  it("--starts-in-reasoning makes the continuation of a raw prompt reasoning", () => {
    const args = [...greedy, "--json", "--raw", "--max-tokens", "4", golden.prompt];
    const inAnswer = JSON.parse(run(args).stdout);
    const inReasoning = JSON.parse(run([...args, "--starts-in-reasoning"]).stdout);
    expect(inAnswer).toMatchObject({ reasoning: "", answer: inAnswer.text });
    expect(inReasoning).toMatchObject({ reasoning: inAnswer.answer, answer: "" });
    expect(inAnswer.text).not.toBe("");
  });

  it("notes are printed once on standard error, and listed in JSON", () => {
    const args = [...greedy, "--max-tokens", "9000", problem];
    const { status, stdout, stderr } = run([...args, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).notes).toEqual([expect.stringMatching(/^maxTokens lowered from 9000 to \d+/)]);
    expect(stderr).toMatch(/^lessismore: maxTokens lowered from 9000 to [^\n]+\n$/);
    expect(run(args).stderr.match(/maxTokens lowered/g)).toHaveLength(1);
  });

  it("prints the reason for a missing answer", () => {
    const { status, stdout, stderr } = run([...greedy, "--max-tokens", "4", problem]);
    expect(status).toBe(0);
    expect(stdout.length).toBeGreaterThan(1);
    expect(stdout).toBe(`${golden.greedy_text.slice(0, stdout.length - 1)}\n`);
    expect(stderr).toMatch(
      /^lessismore: no answer: the reasoning had not ended after 4 tokens; raise --max-tokens\n\[/,
    );
  });
});
