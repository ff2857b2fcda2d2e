import { Command } from "commander";
import { ConfigError } from "../../base/errors.ts";
import { UsageError } from "../args.ts";

interface ReportOptions {
  readonly out?: string;
  readonly svg?: string;
  readonly png?: string;
  readonly text?: boolean;
  readonly markdown?: boolean;
  readonly json?: boolean;
  readonly baseline?: string;
}

function formatOf({ text, markdown, json }: ReportOptions): "text" | "markdown" | "json" | undefined {
  const formats = [text && "text", markdown && "markdown", json && "json"] as const;
  const [format, other] = formats.filter((one) => typeof one === "string");
  if (other !== undefined) throw new UsageError(`--${format} and --${other} do not go together`);
  return format;
}

/** `lessismore eval report`. `done` receives the action's exit code. */
export function evalReportCommand(done: (exitCode: number) => void): Command {
  return new Command("report")
    .description("make a page, figures or tables of a run's results")
    .argument("<dir>", "folder of a run: the --out of eval")
    .option("--out <file>", "the page (default: report.html in the folder)")
    .option("--svg <dir>", "also write each figure as an SVG file")
    .option("--png <dir>", "also write each figure as a PNG file")
    .option("--text", "print tables instead of writing a page")
    .option("--markdown", "print tables in Markdown instead")
    .option("--json", "print one JSON object instead")
    .option("--baseline <spec>", "compare with this attention (default: full)")
    .action(async (folder: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<ReportOptions>(); // `eval` takes --out and --json wherever they stand.
      const { out, svg, png, baseline } = options;
      const format = formatOf(options);
      const { runReport } = await import("../../../eval/commands/report.ts");
      try {
        await runReport(
          {
            folder,
            ...(out !== undefined && { out }),
            ...(svg !== undefined && { svg }),
            ...(png !== undefined && { png }),
            ...(baseline !== undefined && { baseline }),
            ...(format !== undefined && { format }),
          },
          { stdout: process.stdout },
        );
      } catch (error) {
        throw error instanceof ConfigError ? new UsageError(error.message) : error;
      }
      done(0);
    });
}
