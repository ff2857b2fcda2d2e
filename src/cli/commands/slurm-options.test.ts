import { Command } from "commander";
import { expect, test } from "vitest";
import { addEvalOptions } from "./eval-options.ts";
import { argumentsOfTasks, slurmJob } from "./slurm-options.ts";

const command = addEvalOptions(new Command("eval"));

test("tasks get the command's arguments without those of Slurm, and no value is taken for an option", () => {
  const args = [
    ...[
      "--tasks",
      "registers",
      "--slurm",
      "--array-tasks",
      "4",
      "--time=1:00",
      "--mem",
      "4G",
      "--out",
      "x y",
    ],
    ...[
      "-m",
      "--slurm",
      "--text-file",
      "--out",
      "--sbatch-option=--qos=a",
      "--dry-run",
      "--temperature",
      "0.6",
    ],
  ];
  expect(argumentsOfTasks(command, args)).toEqual([
    ...["--tasks", "registers", "-m", "--slurm", "--text-file", "--out", "--temperature", "0.6"],
  ]);
});

test.each([
  [{ partition: "a" }, /--partition goes with --slurm/],
  [{ sbatchOption: ["--qos=a"] }, /--sbatch-option goes with --slurm/],
  [{ slurm: true, shard: {}, out: "a" }, /--shard and --slurm exclude each other/],
  [{ slurm: true }, /name a folder that all nodes see with --out/],
])("refuses %j", (options, message) => {
  expect(() => slurmJob(command, options, [])).toThrow(message);
});

test("a command without --slurm is no job", () => {
  expect(slurmJob(command, { out: "a" }, [])).toBeUndefined();
});
