import { Command, Option } from "commander";
import type { EvalOptions } from "./eval-options.ts";

export interface GradeOptions extends Pick<EvalOptions, "grader" | "out" | "json"> {
  readonly kind?: "math" | "integer" | "choice" | "text";
}

const NOTES = `
A file may be a run's attempts.jsonl (or the run's folder), samples_*.jsonl of
lm-evaluation-harness, any .jsonl with a response (or output, completion, …) and
an answer (or target, gold, …) on each line, or the .json of LessIsMore's own
evaluation. The graded rows are written beside it, to NAME.graded-strict.jsonl;
--out, --json and --grader are eval's.

  lessismore eval grade runs/pico --grader reference
  lessismore eval grade samples_aime24_2026-01-02T03-04-05.678.jsonl`;

/** `lessismore eval grade`. run: receives the files and the options, eval's among them */
export function evalGradeCommand(
  run: (files: readonly string[], options: GradeOptions) => Promise<void>,
): Command {
  return new Command("grade")
    .description("grade responses of a run or of another program again, without a model")
    .argument("<files...>", "files of responses, or folders of runs")
    .addOption(
      new Option(
        "--kind <kind>",
        "how all answers are compared (default: as the file says, else math)",
      ).choices([...["math", "integer", "choice", "text"]]),
    )
    .addHelpText("after", NOTES)
    .action(async (files: readonly string[], _: unknown, command: Command) => {
      await run(files, command.optsWithGlobals<GradeOptions>()); // `eval` takes its options wherever they stand.
    });
}
