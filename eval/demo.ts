// The demo of `npm start`: a sparse attention solves one long problem, then full attention does.
import { basename } from "node:path";
import { parseArgs } from "node:util";
import {
  bundledModelFolder,
  formatAttention,
  type GenerationResult,
  openEngine,
  parseAttention,
} from "../src/node/index.ts";
import { type Curve, listCurves, plotCurves } from "./demo/plot.ts";
import { ratioAtEnd, TokenTimes } from "./demo/token-times.ts";
import { readBackend, readTask, readWhole, runMain } from "./options.ts";
import { isCorrect, makeProblems, type SizedProblem } from "./problems/index.ts";
import { formatTable, percent } from "./report/table.ts";
import { solveRequest } from "./tasks/generated.ts";

const USAGE = `Solves one long problem with a sparse attention (default: key-sketch:budget=192) and with full attention, side by side.

  npm start -- [--attention A] [--task registers|variables|graph] [--tokens N] [--seed N] [--backend auto|wasm|reference] [--threads N]
`;
/** Tokens decoded before any timing, so that both runs find compiled code. */
const WARM_UP_TOKENS = 24;
/** The sparse attention of the demo, unless --attention names another. */
const SPARSE = "key-sketch:budget=192";
const HEADER = ["attention", "answer", "tokens", "of the cache read", "ms a token"];
/** Lines of a chain of thought that a reader other than a terminal gets from each end. */
const SHOWN_LINES = 8;
const [DIM, BLUE, ORANGE, PLAIN] = ["\u001b[2m", "\u001b[34m", "\u001b[33m", "\u001b[0m"];

type Engine = Awaited<ReturnType<typeof openEngine>>;
interface Solved {
  readonly result: GenerationResult;
  readonly times: TokenTimes;
}

await runMain("demo", async () => {
  const { values } = parseArgs({
    options: {
      attention: { type: "string", default: SPARSE },
      task: { type: "string", default: "registers" },
      tokens: { type: "string", default: "4608" },
      seed: { type: "string", default: "2" },
      backend: { type: "string", default: "auto" },
      threads: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const task = readTask(values.task);
  const totalTokens = readWhole("--tokens", values.tokens, 128);
  const seed = readWhole("--seed", values.seed, 0);
  const engine = await openEngine({
    model: bundledModelFolder(),
    backend: readBackend(values.backend),
    attention: values.attention,
    ...(values.threads === undefined ? {} : { threads: readWhole("--threads", values.threads, 1) }),
  });
  try {
    const [problem] = makeProblems(task, { totalTokens, count: 1, seed, tokenizer: engine.tokenizer });
    if (problem !== undefined) await compare(engine, problem, totalTokens);
  } finally {
    await engine.close();
  }
});

async function compare(engine: Engine, problem: SizedProblem, totalTokens: number): Promise<void> {
  const { model, backend, attention } = engine.report();
  const sparse = formatAttention(attention);
  const { tokenBudget } = parseAttention(sparse);
  print(`Model: ${basename(model.name)} (${model.architecture}, context ${model.contextLength})`);
  print(`Backend: ${backend.name}, ${backend.description} (${backend.why})\n`);
  print(
    `The problem (${problem.promptTokens} tokens; its right chain of thought has ${problem.reasoningTokens}):\n`,
  );
  print(`${problem.problem}\n`);
  for (const policy of [sparse, "full"])
    await engine
      .generate({
        ...solveRequest(problem, totalTokens, policy),
        maxTokens: WARM_UP_TOKENS,
        ignoreEos: true,
      })
      .result();
  print(`Thinking with ${sparse}, ${tokenBudget} tokens a sparse layer:\n`);
  const lean = await solve(engine, problem, totalTokens, { attention: sparse, isShown: true });
  print("\nThe same problem with full attention (not shown) ...\n");
  const full = await solve(engine, problem, totalTokens, { attention: "full", isShown: false });
  print(`Right answer: ${problem.answer}\n`);
  print(
    `${formatTable({ header: HEADER, rows: [describe(lean.result, problem), describe(full.result, problem)] })}\n`,
  );
  printCurves(lean, full, attention.name);
  print("\nTry: npm start -- --tokens 8192    or    node dist/cli/main.js generate --help");
}

function printCurves(lean: Solved, full: Solved, name: string): void {
  const isTerminal = process.stdout.isTTY;
  const curves: Curve[] = [
    { name: "full", mark: "●", ...(isTerminal && { colour: ORANGE }), stretches: full.times.stretches() },
    { name, mark: "○", ...(isTerminal && { colour: BLUE }), stretches: lean.times.stretches() },
  ];
  print(isTerminal ? plotCurves(curves) : listCurves(curves));
  const end = ratioAtEnd(full.times.stretches(), lean.times.stretches());
  if (end === undefined) return;
  print(
    `\nWith ${end.position} tokens cached ${name} decodes a token ${end.ratio.toFixed(2)} times as fast as full attention;` +
      ` over the whole problem ${(full.result.timings.msPerToken / lean.result.timings.msPerToken).toFixed(2)} times.`,
  );
}

function describe(result: GenerationResult, problem: SizedProblem): string[] {
  return [
    formatAttention(result.attention),
    isCorrect(problem, result.text) ? "right" : "wrong",
    String(result.usage.completionTokens),
    percent(result.attention.attendedFraction),
    result.timings.msPerToken.toFixed(2),
  ];
}

/** Solves the problem and times its tokens. A terminal sees the text as it comes, another reader the ends of it. */
async function solve(
  engine: Engine,
  problem: SizedProblem,
  totalTokens: number,
  { attention, isShown }: { readonly attention: string; readonly isShown: boolean },
): Promise<Solved> {
  const generation = engine.generate(solveRequest(problem, totalTokens, attention));
  const times = new TokenTimes(problem.promptTokens);
  const isLive = isShown && process.stdout.isTTY;
  let isReasoning = true;
  for await (const part of generation) {
    times.note(part.tokenIds.length, performance.now());
    if (!isLive) continue;
    if (part.kind === "answer" && isReasoning) print("\n");
    isReasoning = part.kind === "reasoning";
    const text = isReasoning ? part.text : part.text.replace(/^\n+/, "");
    process.stdout.write(isReasoning ? `${DIM}${text}${PLAIN}` : text);
  }
  const result = await generation.result();
  if (isShown) print(isLive ? "" : shorten(result));
  return { result, times };
}

function shorten({ reasoning, answer }: GenerationResult): string {
  const lines = reasoning.trim().split("\n");
  const left = lines.length - 2 * SHOWN_LINES;
  const shown =
    left > 0 ? [...lines.slice(0, SHOWN_LINES), `… ${left} lines …`, ...lines.slice(-SHOWN_LINES)] : lines;
  return `${shown.join("\n")}\n\n${answer.trim()}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
