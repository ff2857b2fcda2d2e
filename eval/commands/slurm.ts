/** What `lessismore eval --slurm` does; the command line loads it when it runs. */
import {
  arrayOptions,
  arrayScript,
  type BatchJob,
  mergeOptions,
  mergeScript,
  quoteWord,
} from "../slurm/batch-script.ts";
import { submit } from "../slurm/submit.ts";
import { type CommandHost, writeNotes } from "./command-host.ts";

export interface SlurmCommand extends BatchJob {
  /** Print what would be submitted. */
  readonly dryRun: boolean;
  /** Wait for the merge. */
  readonly waits: boolean;
  readonly json: boolean;
}

/** Runs the command. @returns the exit code: that of the merge, if it was waited for */
export async function runSlurm(command: SlurmCommand, host: CommandHost): Promise<number> {
  const { dryRun, waits, json, ...job } = command;
  if (dryRun) {
    host.stdout.write(describe(job));
    return 0;
  }
  const { arrayTasks } = job.slurm;
  const jobs = await submit(job, {
    waits,
    onArray: (id) =>
      writeNotes(host, [
        `submitted job ${id}: ${arrayTasks} shards, results in ${job.out}, logs in ${job.out}/logs`,
      ]),
  });
  writeNotes(host, [
    `${waits ? "ran" : "submitted"} job ${jobs.mergeJob}: the merge after them${waits ? `, exit code ${jobs.mergeExitCode}` : ""}`,
  ]);
  host.stdout.write(
    json ? `${JSON.stringify({ ...jobs, out: job.out })}\n` : `${jobs.arrayJob} ${jobs.mergeJob}\n`,
  );
  return jobs.mergeExitCode ?? 0;
}

function describe(job: BatchJob): string {
  const line = (options: readonly string[]) => `sbatch ${options.map(quoteWord).join(" ")} <<'SCRIPT'\n`;
  return (
    `${line(arrayOptions(job))}${arrayScript(job)}SCRIPT\n\n` +
    `${line(mergeOptions(job, "ARRAY_JOB_ID"))}${mergeScript(job)}SCRIPT\n`
  );
}
