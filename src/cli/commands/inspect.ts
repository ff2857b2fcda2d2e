import { Argument, Command } from "commander";
import { ConfigError } from "../../base/errors.ts";
import { bundledModelFolder, inspectCheckpoint } from "../../node/index.ts";
import { attentionSpec, UsageError } from "../args.ts";
import { formatAttention, formatBytes } from "../output.ts";

interface InspectOptions {
  readonly attention?: string;
  /** False for --no-scan. */
  readonly scan: boolean;
  readonly json?: boolean;
}

type Report = Awaited<ReturnType<typeof inspectCheckpoint>>;

/** `lessismore inspect`. The action's exit code goes to `done`. */
export function inspectCommand(done: (exitCode: number) => void): Command {
  return new Command("inspect")
    .description("say what a checkpoint is, what it needs, and whether its weights are sound")
    .addArgument(new Argument("[model]", "checkpoint folder (default: the bundled pico-reasoner)"))
    .option("--attention <spec>", "also say what each layer does under this policy", attentionSpec)
    .option("--no-scan", "do not read the weights in search of NaN and infinity")
    .option("--json", "print one JSON object")
    .action(async (model: string | undefined, options: InspectOptions) => {
      const report = await inspect(model ?? bundledModelFolder(), options);
      process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : describe(report, options.scan));
      done(0);
    });
}

async function inspect(model: string, options: InspectOptions): Promise<Report> {
  const { attention, scan } = options;
  try {
    return await inspectCheckpoint(model, {
      scanWeights: scan,
      ...(attention === undefined ? {} : { attention }),
    });
  } catch (error) {
    if (error instanceof ConfigError && attention !== undefined) throw new UsageError(error.message);
    throw error;
  }
}

function describe(report: Report, isScanned: boolean): string {
  const rows: [string, string][] = [
    ["architecture", `${report.architecture} (family ${report.family})`],
    ["layers", String(report.layers)],
    ["hidden size", String(report.hiddenSize)],
    ["heads", `${report.queryHeads} query, ${report.kvHeads} kv, headDim ${report.headDim}`],
    ["vocabulary", `${report.vocabSize}${report.tiedEmbeddings ? ", embeddings tied" : ""}`],
    ["context", `${report.contextLength} tokens`],
    ["rope", typeof report.rope === "string" ? report.rope : JSON.stringify(report.rope)],
    ["parameters", `${(report.parameters / 1e6).toFixed(1)} M`],
    ["weights", formatBytes(report.weightBytes)],
    ["kv cache", `${formatBytes(report.kvBytesPerToken)} a token`],
    ["chat template", report.chatTemplate ? "yes" : "no"],
  ];
  if (report.attention !== undefined)
    rows.push(["attention", formatAttention(report.attention.name, report.attention.settings)]);
  const lines = rows.map(([name, value]) => `${name.padEnd(14)} ${value}`);
  for (const { layer, role } of report.attention?.layers ?? [])
    lines.push(`  layer ${layer}: ${describeRole(role)}`);
  if (isScanned && report.problems.length === 0) lines.push(`${"scan".padEnd(14)} every weight is finite`);
  for (const { tensor, nan, infinite } of report.problems)
    lines.push(`problem: ${tensor} has ${nan} NaN and ${infinite} infinite values`);
  return `${lines.join("\n")}\n`;
}

function describeRole(role: unknown): string {
  if (typeof role === "string") return role;
  if (typeof role !== "object" || role === null) return String(role);
  const attends = `attends to ${Reflect.get(role, "attends") === "all" ? "all tokens" : "the selection"}`;
  return Reflect.get(role, "selects") === true ? `${attends}, selects` : attends;
}
