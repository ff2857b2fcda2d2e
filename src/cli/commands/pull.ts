import { Argument, Command } from "commander";
import { AbortedError, ConfigError } from "../../base/errors.ts";
import { type DownloadProgress, pullModel } from "../../node/index.ts";
import { UsageError } from "../args.ts";
import { INTERRUPTED, withInterrupt } from "../interrupt.ts";
import { formatBytes, NoteWriter } from "../output.ts";
import { describeDownload, ProgressLine } from "../progress.ts";

const NOTES = `
The files go to the cache of Python's huggingface_hub, which both then use:
HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. HF_TOKEN or the
token of \`hf auth login\` opens gated models, HF_ENDPOINT names another hub. A
download that was cut goes on where it ended.`;

/** `lessismore pull`. `done` receives the action's exit code. */
export function pullCommand(done: (exitCode: number) => void): Command {
  return new Command("pull")
    .description("fetch a model of the Hugging Face hub into the cache")
    .addArgument(
      new Argument("<model>", "org/name, org/name@revision, org/name/file.gguf or hf:org/name:Q4_K_M"),
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", NOTES)
    .action(async (model: string, { json }: { readonly json?: boolean }) => {
      done(await pull(model, json ?? false));
    });
}

async function pull(model: string, json: boolean): Promise<number> {
  return withInterrupt(async (signal, begin) => {
    const line = new ProgressLine(process.stderr);
    let last: DownloadProgress | undefined;
    begin();
    line.show(() => (last ? describeDownload(last) : `asking for ${model}`));
    try {
      const onDownload = (progress: DownloadProgress) => {
        last = progress;
      };
      const pulled = await pullModel(model, { signal, onDownload });
      line.erase();
      const fetchedBytes = last?.totalBytes ?? 0;
      new NoteWriter(process.stderr).write(pulled.notes);
      if (json) process.stdout.write(`${JSON.stringify({ ...pulled, fetchedBytes })}\n`);
      else
        process.stdout.write(
          `${pulled.file === undefined ? pulled.path : `${pulled.path}/${pulled.file}`}\n`,
        );
      process.stderr.write(
        `[${fetchedBytes === 0 ? "all files were here" : `${formatBytes(fetchedBytes)} fetched`}]\n`,
      );
      return 0;
    } catch (error) {
      if (error instanceof ConfigError) throw new UsageError(error.message);
      if (!(error instanceof AbortedError)) throw error;
      line.erase();
      process.stderr.write(`lessismore: interrupted; \`lessismore pull ${model}\` goes on where it ended\n`);
      return INTERRUPTED;
    } finally {
      line.erase();
    }
  });
}
