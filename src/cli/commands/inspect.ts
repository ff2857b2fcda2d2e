import { Argument, Command, Option } from "commander";
import { ConfigError } from "../../base/errors.ts";
import {
  bundledModelFolder,
  CACHE_DTYPES,
  type CacheDtype,
  formatAttention,
  inspectCheckpoint,
} from "../../node/index.ts";
import { attentionSpec, UsageError, wholeNumber } from "../args.ts";
import { formatBytes } from "../output.ts";

interface InspectOptions {
  readonly attention?: string;
  readonly cacheDtype?: CacheDtype;
  readonly contextLength?: number;
  /** False for --no-scan. */
  readonly scan: boolean;
  readonly json?: boolean;
}

type Report = Awaited<ReturnType<typeof inspectCheckpoint>>;

/** `lessismore inspect`. `done` receives the action's exit code. */
export function inspectCommand(done: (exitCode: number) => void): Command {
  return new Command("inspect")
    .description("say what a checkpoint is, what it needs, and whether its weights are sound")
    .addArgument(
      new Argument(
        "[model]",
        "folder, .gguf file, URL, or model of the hub (default: the bundled pico-reasoner)",
      ),
    )
    .option("--attention <spec>", "also say what each layer does under this policy", attentionSpec)
    .addOption(
      new Option(
        "--cache-dtype <dtype>",
        "keys and values as WebGPU (f16), the CPU backends (f32) or a smaller cache (q8) store them",
      )
        .choices(CACHE_DTYPES)
        .default("f16"),
    )
    .option("--context-length <n>", "estimate the memory for so many tokens", wholeNumber(2))
    .option("--no-scan", "do not read the weights in search of NaN and infinity")
    .option("--json", "print one JSON object")
    .action(async (model: string | undefined, options: InspectOptions) => {
      const report = await inspect(model ?? bundledModelFolder(), options);
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : describe(report));
      // The report is complete, so the exit code is 0; the notice is for people who read no JSON.
      if (report.problems.length > 0)
        process.stderr.write(
          `lessismore: ${report.problems.length} of the tensors hold values that are not finite\n`,
        );
      for (const note of report.attention.notes) process.stderr.write(`lessismore: ${note}\n`);
      done(0);
    });
}

async function inspect(model: string, options: InspectOptions): Promise<Report> {
  const { attention, cacheDtype, contextLength, scan } = options;
  try {
    return await inspectCheckpoint(model, {
      scanWeights: scan,
      ...(attention === undefined ? {} : { attention }),
      ...(cacheDtype === undefined ? {} : { cacheDtype }),
      ...(contextLength === undefined ? {} : { contextLength }),
    });
  } catch (error) {
    if (error instanceof ConfigError && attention !== undefined) throw new UsageError(error.message);
    throw error;
  }
}

function describe(report: Report): string {
  const { attention } = report;
  const rows: [string, string][] = [
    ["model", report.name],
    ["architecture", `${report.architecture} (${report.family})`],
    ["layers", String(report.layers)],
    ["hidden size", `${report.hiddenSize}, intermediate ${report.intermediateSize}`],
    ["heads", `${report.queryHeads} query, ${report.kvHeads} kv, headDim ${report.headDim}`],
    ["vocabulary", `${report.vocabSize}${report.tiedEmbeddings ? ", embeddings tied" : ""}`],
    ["context", `${report.contextLength} tokens`],
    ["rope", report.rope],
    ...describeLayers(report),
    ["parameters", `${(report.parameters / 1e6).toFixed(1)} M`],
    ["weights", `${formatBytes(report.weightBytes)} (${report.dtypes.join(", ")})`],
    ["kv cache", `${formatBytes(report.kvBytesPerToken)} a token in ${report.cacheDtype}`],
    ...describeMemory(report.memory),
    ["tokenizer", report.tokenizer ? "yes" : "no: runs on token ids only"],
    ["chat template", report.chatTemplate ? "yes" : "no: takes raw prompts only"],
    ["attention", formatAttention(attention)],
    ...layersFrom(attention),
    ...groupLayers(attention.layers),
    ...attention.reads.map(({ context, attendedFraction, kvBytes }): [string, string] => [
      `  at ${context}`,
      `reads ${formatBytes(kvBytes)} a token, ${(100 * attendedFraction).toFixed(0)} % of what is cached`,
    ]),
  ];
  const { count, names } = report.ignoredTensors;
  if (report.contextNote !== undefined) rows.push(["note", report.contextNote]);
  if (count > 0)
    rows.push(["not used", `${count} tensors: ${names.slice(0, 4).join(", ")}${count > 4 ? ", …" : ""}`]);
  for (const note of report.notes) rows.push(["note", note]);
  if (!report.scannedWeights) rows.push(["scan", "not done (--no-scan)"]);
  else if (report.problems.length === 0) rows.push(["scan", "every weight is finite"]);
  for (const { tensor, nan, infinite } of report.problems)
    rows.push(["problem", `${tensor} has ${nan} NaN and ${infinite} infinite values`]);
  return rows.map(([name, value]) => `${name.padEnd(14)} ${value}\n`).join("");
}

/** Layers with sliding windows and with experts, if there are any. */
function describeLayers({ layers, slidingWindow, experts }: Report): [string, string][] {
  const rows: [string, string][] = [];
  if (slidingWindow)
    rows.push([
      "windows",
      `of ${slidingWindow.tokens} tokens in ${slidingWindow.layers.length} of ${layers} layers`,
    ]);
  if (experts) {
    const { numExperts, topExperts, intermediateSize } = experts;
    const where = `in ${experts.layers.length} of ${layers} layers`;
    rows.push([
      "experts",
      `${topExperts} of ${numExperts} a token, intermediate ${intermediateSize}, ${where}`,
    ]);
  }
  return rows;
}

/** One line for each backend and precision: the memory of one request at each context. */
function describeMemory(memory: Report["memory"]): [string, string][] {
  const lines = new Map<string, string[]>();
  for (const { backend, dtype, context, totalBytes, weightBytes, isPossible } of memory) {
    const key = `  ${backend} ${dtype}`;
    const texts = lines.get(key) ?? [`weights ${formatBytes(weightBytes)}; in all`];
    const limit = isPossible ? "" : " (more than it can address)";
    lines.set(key, [...texts, `${formatBytes(totalBytes)} at ${context} tokens${limit}`]);
  }
  const rows = [...lines].map(([key, [weights, ...texts]]): [string, string] => [
    key,
    `${weights} ${texts.join(", ")}`,
  ]);
  return rows.length > 0 ? [["memory", "of one request: weights, keys and values, work space"], ...rows] : [];
}

function layersFrom({
  selectionLayersFrom: source,
  selectionLayersOf: of,
}: Report["attention"]): [string, string][] {
  if (source === undefined) return [];
  const model = of === undefined ? "" : `, for ${of}`;
  return [["  layers from", source === "guess" ? "a GUESS: see the notice" : `the ${source}${model}`]];
}

/** Formats one line a role: `  selects   layers 2, 7`. */
function groupLayers(layers: Report["attention"]["layers"]): [string, string][] {
  const groups = new Map<string, number[]>();
  for (const { layer, role } of layers) groups.set(role, [...(groups.get(role) ?? []), layer]);
  return [...groups].map(([role, members]) => [`  ${role}`, `layers ${members.join(", ")}`]);
}
