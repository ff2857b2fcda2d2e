import { Argument, Command } from "commander";
import { examineMachine, fitCheckpoint, type ModelFit, type TestReport } from "../../node/index.ts";
import { UsageError, wholeNumber } from "../args.ts";
import { examineEqualGpus } from "../examine-equal-gpus.ts";
import { formatBytes, formatLimit } from "../output.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { addDevice } from "./model-options.ts";

type Report = Awaited<ReturnType<typeof examineMachine>>;
type TuningReport = NonNullable<Report["wasm"]["tuning"]>;
type Adapter = Report["webgpu"]["adapters"][number];

interface DoctorOptions {
  readonly json?: boolean;
  readonly measure?: boolean;
  readonly tune?: boolean;
  readonly contextLength?: number;
  readonly device?: string;
}

/** `lessismore doctor`. `done` receives the action's exit code. */
export function doctorCommand(done: (exitCode: number) => void): Command {
  const command = new Command("doctor")
    .description("say what this machine has to compute with, and whether it computes rightly")
    .addArgument(
      new Argument("[model]", "also say how this model would fit: a folder, a file, a name on the hub"),
    )
    .option("--measure", "measure anew what suits the processor, and keep it")
    .option(
      "--tune",
      "also time the variants of kernels on each GPU, less than a minute each, and keep the best",
    )
    .option("--context-length <n>", "fit the model for so many tokens", wholeNumber(2))
    .option("--json", "print one JSON object");
  return addDevice(command).action(
    async (model: string | undefined, { json, measure, tune, contextLength, device }: DoctorOptions) => {
      if (contextLength !== undefined && model === undefined)
        throw new UsageError("--context-length is of a model: name one, as doctor MODEL");
      const exitCode = await rerunOnDevice(device);
      if (exitCode !== undefined) return done(exitCode);
      const fits = model === undefined ? [] : await fitCheckpoint(model, { contextLength, device });
      const tuning = measure || tune ? "measure" : "auto";
      const own = await examineMachine({ tuning, tunesGpus: tune === true, device });
      const report = device === undefined ? await examineEqualGpus(own) : own;
      const all = model === undefined ? report : { ...report, model: { name: model, fits } };
      process.stdout.write(
        json ? `${JSON.stringify(all)}\n` : describeMachine(report) + describeFits(model, fits),
      );
      done(report.isSound ? 0 : 1);
    },
  );
}

/** Formats the report for people: a block a backend, a table of the self-test, and the choice of "auto". */
export function describeMachine(report: Report): string {
  const { wasm, webgpu, auto } = report;
  const blocks = [
    rows([
      ["node", `${report.node}, ${report.platform}`],
      ["cpu", report.cpu],
    ]),
    rows([
      ["wasm", `build ${wasm.build || "unknown"}, ${plural(wasm.threads, "thread")}`],
      ["  simd", wasm.hasRelaxedSimd ? "128 bits, relaxed" : "128 bits (relaxed SIMD: Node 24 or later)"],
      ...(wasm.tuning ? [["  tuning", describeTuning(wasm.tuning)] as const] : []),
      ["  self-test", summarise(wasm.selfTest)],
    ]),
    ...webgpu.adapters.map(describeAdapter),
    ...(webgpu.unopened ?? []).map(({ index, name, problem }) =>
      rows([
        [`gpu ${index}`, name],
        ["  self-test", wrap(["not run:", ...problem.split(" ")])],
      ]),
    ),
    ...(webgpu.problem === undefined ? [] : [rows([["webgpu", wrap(webgpu.problem.split(" "))]])]),
    describeTests(report),
    rows([
      ["auto", `${auto.backend}: ${auto.why.replace(/^auto: /, "").replace(` (${webgpu.problem})`, "")}`],
    ]),
  ];
  return blocks.filter((block) => block !== "").join("\n");
}

/** Formats how a model fits: a block with a line for each backend. */
function describeFits(model: string | undefined, fits: readonly ModelFit[]): string {
  if (model === undefined) return "";
  const lines = fits.map((fit): [string, string] => {
    if ("problem" in fit) return [`  ${fit.backend}`, wrap(fit.problem.split(" "))];
    const { weightBytes, cacheBytes, keptBytes, workBytes, totalBytes } = fit.memory;
    const parts = [weightBytes, cacheBytes, workBytes].map(formatBytes);
    const kept = keptBytes > 0 ? `, data of the attention policy ${formatBytes(keptBytes)}` : "";
    return [
      `  ${fit.backend}`,
      wrap(
        (
          `fits in ${fit.dtype === "own" ? "its own precision" : fit.dtype}: ${formatBytes(totalBytes)} for one request of ` +
          `${fit.contextLength} tokens (weights ${parts[0]}, keys and values ${parts[1]}${kept}, work space ${parts[2]}); ${fit.why}`
        ).split(" "),
      ),
    ];
  });
  return `\n${rows([["model", model], ...lines])}`;
}

/** Formats the tuning and its source. */
function describeTuning({ from, choices, elapsedMs, note }: TuningReport): string {
  const origin = {
    measured: `measured now in ${Math.round(elapsedMs ?? 0)} ms`,
    kept: "kept from an earlier measurement (--measure measures anew)",
    default: "the usual choices, not measured",
  }[from];
  const values = Object.entries(choices).map(([name, value]) => `${name} ${value}`);
  return `${origin}${note === undefined ? "" : `: ${note}`}\n${wrap(values.join(", ").split(" "))}`;
}

/** Formats the sizes of kernels that were chosen on a GPU. */
function describeGpuTuning(tuning: NonNullable<Adapter["tuning"]>): string {
  const { choices, elapsedMs = 0, note } = tuning;
  const values = Object.entries(choices).map(([name, value]) => `${name} ${value}`);
  const sizes = values.length === 0 ? "the usual sizes" : values.join(", ");
  const times = "times" in tuning ? Object.entries(tuning.times) : [];
  if (tuning.from === "default") return wrap((note ?? "").split(" "));
  const took =
    "tried" in tuning
      ? `${tuning.tried} variants timed in ${(elapsedMs / 1000).toFixed(0)} s`
      : "kept (--tune times anew)";
  const lines = [
    note === undefined ? took : `${took}: ${note}`,
    wrap(sizes.split(" ")),
    ...(times.length > 0 ? [times.map(([work, time]) => `${work} ${time.toFixed(2)}`).join(", ")] : []),
  ];
  return lines.join("\n");
}

function describeAdapter(adapter: Adapter): string {
  const { vendor, architecture, subgroupSizes, limits } = adapter;
  const sizes = subgroupSizes && [...new Set([subgroupSizes.min, subgroupSizes.max])].join(" to ");
  return rows([
    [
      adapter.index === undefined ? "webgpu" : `gpu ${adapter.index}`,
      `${adapter.name}${adapter.isSoftware ? " (computes on the CPU: for tests only)" : ""}`,
    ],
    ["  adapter", [vendor, architecture, adapter.device].filter(Boolean).join(", ") || "unnamed"],
    ["  subgroups", sizes === undefined ? "none" : `of ${sizes}`],
    ...(adapter.tuning ? [["  tuning", describeGpuTuning(adapter.tuning)] as const] : []),
    ["  f16", adapter.hasF16 ? "yes" : "no"],
    ["  matrices", adapter.hasSubgroupMatrices ? "of subgroups" : "none"],
    [
      "  buffers",
      `${formatLimit(limits.maxBufferSize)} each, ${formatLimit(limits.maxStorageBufferBindingSize)} bound at once, ` +
        `${limits.maxStorageBuffersPerShaderStage} in a kernel`,
    ],
    [
      "  workgroups",
      `${limits.maxComputeInvocationsPerWorkgroup} invocations, ${formatLimit(limits.maxComputeWorkgroupStorageSize)}`,
    ],
    ["  features", wrap(adapter.features)],
    ["  self-test", summarise(adapter.selfTest)],
  ]);
}

function summarise(test: TestReport): string {
  if ("problem" in test) return wrap(["not run:", ...test.problem.split(" ")]);
  const wrong = test.rows.filter(({ isRight }) => !isRight).length;
  const took = `${(test.elapsedMs / 1000).toFixed(test.elapsedMs < 1000 ? 2 : 1)} s`;
  return wrong === 0
    ? `all ${test.rows.length} ops right, ${took}`
    : `${wrong} of ${test.rows.length} ops WRONG, ${took}`;
}

/** Formats the error of each op, a column a backend. */
function describeTests({ wasm, webgpu }: Report): string {
  const tests = [
    { name: "wasm", test: wasm.selfTest },
    ...webgpu.adapters.map(({ name, selfTest }) => ({ name, test: selfTest })),
  ].flatMap(({ name, test }) => ("rows" in test ? [{ name, rows: test.rows }] : []));
  const [first] = tests;
  if (!first) return "";
  const widths = tests.map(({ name }) => Math.max(name.length, 14) + 2);
  const cells = (texts: readonly string[]) =>
    texts
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join("")
      .trimEnd();
  const table: [string, string][] = first.rows.map(({ op }, i) => [
    `  ${op}`,
    cells(
      tests.map(({ rows }) => {
        const row = rows[i];
        if (!row) return "";
        return row.isRight ? formatError(row.error) : `${formatError(row.error)} WRONG`;
      }),
    ),
  ]);
  const allowed = tests.map(({ rows }) => formatError(Math.max(...rows.map((row) => row.allowed))));
  return rows(
    [
      ["error against the reference", cells(tests.map(({ name }) => name))],
      ...table,
      ["  allowed (choices: 0)", cells(allowed)],
    ],
    29,
  );
}

function formatError(error: number): string {
  return Number.isInteger(error) ? String(error) : error.toExponential(1);
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function rows(lines: readonly (readonly [string, string])[], width = 15): string {
  return lines
    .map(([name, value]) => `${name.padEnd(width)}${value.replaceAll("\n", `\n${" ".repeat(width)}`)}\n`)
    .join("");
}

/** Joins words to lines of up to 90 characters. */
function wrap(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 90) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}
