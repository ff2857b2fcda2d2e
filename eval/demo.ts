// The demo of `npm start`: LessIsMore solves one long problem, then full attention does.
import { basename } from "node:path";
import { parseArgs } from "node:util";
import {
  bundledModelFolder,
  formatAttention,
  type GenerationResult,
  lessIsMore,
  openEngine,
} from "../src/node/index.ts";
import { formatTable, percent, solveRequest } from "./accuracy.ts";
import { readBackend, readTask, readWhole, runMain } from "./options.ts";
import { isCorrect, makeProblems, type SizedProblem } from "./tasks/index.ts";

const USAGE = `Solves one long problem with LessIsMore and with full attention, side by side.

  npm start -- [--task registers|variables|graph] [--tokens N] [--seed N] [--backend auto|wasm|reference] [--threads N]
`;
/** Tokens decoded before any timing, so that both runs find compiled code. */
const WARM_UP_TOKENS = 24;
const HEADER = ["attention", "answer", "tokens", "of the cache read", "ms a token"];
const DIM = "\u001b[2m";
const PLAIN = "\u001b[0m";

type Engine = Awaited<ReturnType<typeof openEngine>>;

await runMain("demo", async () => {
  const { values } = parseArgs({
    options: {
      task: { type: "string", default: "registers" },
      tokens: { type: "string", default: "2048" },
      seed: { type: "string", default: "1" },
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
  const { model, backend } = engine.report();
  const sparse = lessIsMore({ tokenBudget: 256, selectionLayers: [2, 7] });
  print(`Model: ${basename(model.name)} (${model.architecture}, context ${model.contextLength})`);
  print(`Backend: ${backend.name}, ${backend.description} (${backend.why})\n`);
  print(
    `The problem (${problem.promptTokens} tokens; its right chain of thought has ${problem.reasoningTokens}):\n`,
  );
  print(`${problem.problem}\n`);
  for (const attention of [sparse, "full"])
    await engine
      .generate({
        ...solveRequest(problem, totalTokens, attention),
        maxTokens: WARM_UP_TOKENS,
        ignoreEos: true,
      })
      .result();

  print(`Thinking with LessIsMore, ${sparse.tokenBudget} tokens a sparse layer:\n`);
  const lean = await showThinking(engine, problem, totalTokens, sparse);
  print("\nThe same problem with full attention (not shown) ...\n");
  const full = await engine.generate(solveRequest(problem, totalTokens, "full")).result();

  print(`Right answer: ${problem.answer}\n`);
  print(formatTable(HEADER, [describe(lean, problem), describe(full, problem)]));
  const ratio = full.timings.msPerToken / lean.timings.msPerToken;
  const length = full.usage.promptTokens + full.usage.completionTokens;
  print(
    `\nOver these ${length} tokens LessIsMore decodes at ${ratio.toFixed(2)} x the speed of full attention.`,
  );
  print("Try: npm start -- --task graph --seed 4    or    node dist/cli/main.js generate --help");
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

async function showThinking(
  engine: Engine,
  problem: SizedProblem,
  totalTokens: number,
  attention: ReturnType<typeof lessIsMore>,
): Promise<GenerationResult> {
  const generation = engine.generate(solveRequest(problem, totalTokens, attention));
  const isTerminal = process.stdout.isTTY;
  let isReasoning = true;
  for await (const part of generation) {
    if (part.kind === "answer" && isReasoning) print("\n");
    isReasoning = part.kind === "reasoning";
    const text = isReasoning ? part.text : part.text.replace(/^\n+/, "");
    process.stdout.write(isTerminal && isReasoning ? `${DIM}${text}${PLAIN}` : text);
  }
  print("");
  return generation.result();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
