import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ConfigError } from "../../src/node/index.ts";
import {
  arrayOptions,
  arrayScript,
  type BatchJob,
  mergeOptions,
  mergeScript,
  quoteWord,
} from "./batch-script.ts";

const HOSTILE = [
  "a b",
  "it's",
  '"$(touch x)"',
  "`id`",
  "$HOME",
  "*",
  "~",
  "a\nb",
  "\\",
  "",
  "--x=ü%A;&|<>",
  "!1",
];

const job = (given: Partial<BatchJob> = {}): BatchJob => ({
  slurm: { arrayTasks: 4, sbatchOptions: [] },
  name: "lessismore-eval",
  out: "/results/it's 5%",
  workingFolder: "/home/a b",
  program: ["printf", "%s\\0"],
  evalArguments: ["--tasks", "registers"],
  ...given,
});

/** What a script gives its program. */
function argumentsOf(script: string, env: Record<string, string> = {}): string[] {
  const { stdout, stderr, status } = spawnSync("bash", ["-s"], {
    input: script,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  expect(status, stderr).toBe(0);
  return stdout.split("\0").slice(0, -1);
}

test("a shell reads quoted words as they were", () => {
  expect(argumentsOf(`printf '%s\\0' ${HOSTILE.map(quoteWord).join(" ")}`)).toEqual(HOSTILE);
  expect(() => quoteWord("a\0b")).toThrow(ConfigError);
});

test("a task evaluates its own shard into its own folder, with the arguments of the command", () => {
  const script = arrayScript(job({ evalArguments: HOSTILE }));
  expect(argumentsOf(script, { SLURM_ARRAY_TASK_ID: "2", SLURM_RESTART_COUNT: "1" })).toEqual([
    ...["eval", ...HOSTILE, "--shard", "3/4", "--out", "/results/it's 5%/shards/3"],
  ]);
});

test("the merge takes the folder of each shard", () => {
  const folders = [1, 2, 3, 4].map((shard) => `/results/it's 5%/shards/${shard}`);
  expect(argumentsOf(mergeScript(job()))).toEqual(["eval", "merge", ...folders, "--out", "/results/it's 5%"]);
});

test("modules are loaded before the program, and a container starts it in place of this Node", () => {
  const setup = [
    "module() { MODULE=$2; }",
    'module load "node js"',
    "unset FLAG",
    ': "$FLAG"',
    "export MODULE",
  ];
  const slurm = {
    arrayTasks: 4,
    sbatchOptions: [],
    setup,
    taskProgram: "printf '%s\\0' \"$MODULE\" image.sif",
  };
  for (const script of [arrayScript(job({ slurm })), mergeScript(job({ slurm }))])
    expect(argumentsOf(script, { SLURM_ARRAY_TASK_ID: "0" }).slice(0, 3)).toEqual([
      "node js",
      "image.sif",
      "eval",
    ]);
  const failing = arrayScript(job({ slurm: { ...slurm, setup: ["false"] } }));
  expect(spawnSync("bash", ["-s"], { input: failing, encoding: "utf8" }).stdout).toBe("");
});

test("the merge asks for what the cluster takes no job without, and for no resources of a task", () => {
  const sbatchOptions = ["--qos=long", "--clusters=big", "--constraint=h100", "--exclusive", "-Mx"];
  const mergeOption = "--partition=cpu";
  const slurm = { arrayTasks: 4, partition: "gpu", time: "4:00:00", memory: "90G", gpus: "8", sbatchOptions };
  const options = mergeOptions(job({ slurm: { ...slurm, mergeOptions: [mergeOption] } }), "77");
  expect(options).toEqual(expect.arrayContaining(["--time=4:00:00", "--qos=long", "--clusters=big", "-Mx"]));
  expect(options.at(-1)).toBe(mergeOption); // sbatch takes the last one
  expect(options.join()).not.toMatch(/constraint|exclusive|mem|gpu-?s/);
});

test("sbatch gets the resources that are named, and no other", () => {
  expect(arrayOptions(job())).toEqual([
    ...["--parsable", "--job-name=lessismore-eval", "--array=0-3", "--requeue", "--open-mode=append"],
    ...["--output=/results/it's 5%%/logs/%A_%a.log", "--chdir=/home/a b"],
  ]);
  const slurm = {
    ...{
      arrayTasks: 10,
      tasksAtOnce: 2,
      partition: "gpu",
      account: "me",
      time: "1:00",
      memory: "4G",
      cpus: 3,
    },
    ...{ gpus: "h100:1", sbatchOptions: ["--constraint=a b"] },
  };
  expect(arrayOptions(job({ slurm }))).toEqual(
    expect.arrayContaining([
      ...["--array=0-9%2", "--partition=gpu", "--account=me", "--time=1:00", "--mem=4G", "--cpus-per-task=3"],
      ...["--gpus-per-node=h100:1", "--constraint=a b"],
    ]),
  );
  expect(mergeOptions(job({ slurm }), "77")).toContain("--dependency=afterany:77");
  expect(mergeOptions(job({ slurm }), "77").join()).not.toMatch(/gpus|constraint/);
});
