// node dist/eval/accuracy-main.js --attention A --attention B --tokens 1024 --problems 32 --json
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { bundledModelFolder, openEngine } from "../src/node/index.ts";
import { formatAccuracy, measureAccuracy } from "./accuracy.ts";
import { readBackend, readCacheDtype, readDtype, readTask, readWhole, runMain } from "./options.ts";
import { TASKS } from "./tasks/index.ts";

const USAGE = `Measures how often each attention policy reaches the right answer.

  node dist/eval/accuracy-main.js [options]

  --attention SPEC   a policy, e.g. full or less-is-more:budget=256,layers=2+7; repeat to compare
  --task NAME        registers, variables or graph; repeatable; all three when left out
  --tokens N         length of the problems: prompt and reasoning (1024)
  --problems N       problems a task (32)
  --seed N           problems are the same for the same seed (1)
  --model FOLDER     checkpoint (the bundled pico-reasoner)
  --backend NAME     auto, wasm or reference (auto)
  --threads N        threads of the CPU backend
  --dtype D          weights as they are (own), or in q8 or q4 made on load (auto: its own where it fits)
  --cache-dtype D    keys and values in f16, f32 or q8 (the backend's own)
  --json             print one JSON object
`;

await runMain("accuracy", async () => {
  const { values } = parseArgs({
    options: {
      attention: { type: "string", multiple: true, default: ["full", "less-is-more"] },
      task: { type: "string", multiple: true, default: Object.keys(TASKS) },
      tokens: { type: "string", default: "1024" },
      problems: { type: "string", default: "32" },
      seed: { type: "string", default: "1" },
      model: { type: "string" },
      backend: { type: "string", default: "auto" },
      threads: { type: "string" },
      dtype: { type: "string", default: "auto" },
      "cache-dtype": { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const options = {
    tasks: values.task.map(readTask),
    attention: values.attention,
    totalTokens: readWhole("--tokens", values.tokens, 64),
    problems: readWhole("--problems", values.problems, 1),
    seed: readWhole("--seed", values.seed, 0),
  };
  const engine = await openEngine({
    model: values.model ?? bundledModelFolder(),
    backend: readBackend(values.backend),
    dtype: readDtype(values.dtype),
    ...(values["cache-dtype"] === undefined ? {} : { cacheDtype: readCacheDtype(values["cache-dtype"]) }),
    ...(values.threads === undefined ? {} : { threads: readWhole("--threads", values.threads, 1) }),
  });
  try {
    const rows = await measureAccuracy({
      ...options,
      engine,
      onProgress: ({ task, attention, done, correct, of }) => {
        const end = process.stderr.isTTY && done < of ? "\r" : "\n";
        if (process.stderr.isTTY || done === of)
          process.stderr.write(`${task}, ${attention}: ${correct} of ${done} right (${of} problems)${end}`);
      },
    });
    const report = engine.report();
    if (values.json) {
      const { totalTokens, problems, seed } = options;
      const { model, backend } = report;
      process.stdout.write(`${JSON.stringify({ model, backend, totalTokens, problems, seed, rows })}\n`);
    } else
      process.stdout.write(
        `${basename(report.model.name)}, ${report.backend.description}, problems below ${options.totalTokens} tokens, seed ${options.seed}\n${formatAccuracy(rows)}\n`,
      );
  } finally {
    await engine.close();
  }
});
