/** Evaluations on a real Slurm of one node, which scripts/local-slurm.mjs starts. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalSlurm, startSlurm } from "../../scripts/local-slurm.mjs";
import { MAIN } from "../e2e/command-line.ts";

const TASKS = 3;
/** One request at a time, so that a task is at work for seconds and its floats do not depend on its batches. */
const EVAL = [
  ...[
    "eval",
    "--tasks",
    "registers",
    "--length",
    "640",
    "--problems",
    "6",
    "--attempts",
    "2",
    "--attention",
    "full",
  ],
  ...["--backend", "wasm", "--threads", "1", "--concurrency", "1", "--temperature", "0.5"],
];

let slurm: LocalSlurm;
let folder: string;
beforeAll(async () => {
  // A name that a shell, and a pattern of Slurm, would take apart.
  folder = mkdtempSync(join(tmpdir(), "lessismore it's 100%A $HOME-"));
  slurm = await startSlurm();
});
afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function lessismore(args: readonly string[]) {
  const options = { env: slurm.env, cwd: folder, encoding: "utf8", timeout: 120_000 } as const;
  return spawnSync(process.execPath, [MAIN, ...args], options);
}

/** Attempts of a folder, without what a clock decides, in one order. */
function rows(out: string): string[] {
  const path = join(out, "attempts.jsonl");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { msPerToken: _, prefillMs: __, decodeMs: ___, ...row } = JSON.parse(line);
      return JSON.stringify(row);
    })
    .sort();
}

const states = () => slurm.call("squeue", ["-h", "-r", "-o", "%i %T %r"]).stdout.trim();

test("an array whose task is requeued in the midst ends, merged, with the rows of an undisturbed run", async () => {
  const alone = join(folder, "alone");
  const undisturbed = lessismore([...EVAL, "--out", alone]);
  expect(undisturbed.stderr + undisturbed.status).toMatch(/0$/);
  expect(rows(alone).length).toBe(12);

  const out = join(folder, "of slurm");
  const submitted = lessismore([
    ...[
      ...EVAL,
      "--out",
      "of slurm",
      "--slurm",
      "--array-tasks",
      String(TASKS),
      "--cpus",
      "1",
      "--time",
      "5",
    ],
    ...["--mem", "600M", "--partition=main", "--sbatch-option=--comment=of tests"],
  ]);
  expect(submitted.status, submitted.stderr).toBe(0);
  const [, array = "", merge = ""] = /^(\d+) (\d+)\n$/.exec(submitted.stdout) ?? [];
  expect(submitted.stderr).toMatch(`submitted job ${array}: 3 shards`);
  expect(JSON.parse(readFileSync(join(out, "slurm.json"), "utf8"))).toEqual({
    ...{ arrayJob: array, mergeJob: merge, arrayTasks: TASKS },
  });
  const job = slurm.call("scontrol", ["show", "job", `${array}_0`]).stdout;
  expect(job).toMatch(/TimeLimit=00:05:00/);
  expect(job).toMatch(/Requeue=1/);
  expect(job).toMatch(/NumCPUs=1 /);

  const first = join(out, "shards/1");
  const requeued = () => {
    const count = rows(first).length;
    if (count === 0 || count === 4) return count;
    const { status, stderr } = slurm.call("scontrol", ["requeue", `${array}_0`]);
    expect(stderr + status).toBe("0");
    return "requeued";
  };
  await expect.poll(requeued, { timeout: 60_000, interval: 20 }).toBe("requeued");
  const kept = rows(first);
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(4);
  const isOver = () => {
    const jobs = states();
    // Slurm holds a requeued task back for two minutes.
    if (jobs.includes(`${array}_0 PENDING BeginTime`))
      slurm.call("scontrol", ["update", `JobId=${array}_0`, "StartTime=now"]);
    return jobs;
  };
  await expect.poll(isOver, { timeout: 100_000, interval: 300 }).toBe("");
  const logs = readdirSync(join(out, "logs")).map((name) => readFileSync(join(out, "logs", name), "utf8"));
  const log = readFileSync(join(out, "logs", `${array}_0.log`), "utf8");
  expect(log).toMatch(/shard 1 of 3 on \S+, restart 0\n[\s\S]*shard 1 of 3 on \S+, restart 1\n/);
  expect(log).toMatch(/of them there already/);
  expect(logs.join()).not.toMatch(/\berror\b(?!: \*\*\* JOB)/i);
  expect(kept.every((row) => rows(first).includes(row))).toBe(true);
  expect(rows(out)).toEqual(rows(alone));
  expect(readdirSync(out).some((name) => /pico-reasoner/.test(name))).toBe(true);
}, 240_000);

test("--wait ends with the merge, and the same command runs again without work", () => {
  const args = [
    ...EVAL,
    "--problems",
    "2",
    "--out",
    "waited",
    "--slurm",
    "--array-tasks",
    "2",
    "--wait",
    "--json",
  ];
  for (const _ of ["first", "again"]) {
    const { status, stdout, stderr } = lessismore(args);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ mergeExitCode: 0 });
    expect(rows(join(folder, "waited")).length).toBe(4);
  }
}, 240_000);

test("--dry-run prints the jobs and submits none", () => {
  const before = states();
  const { status, stdout } = lessismore([
    ...EVAL,
    "--out",
    "none",
    "--slurm",
    "--dry-run",
    "--gpus",
    "h100:1",
  ]);
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /^sbatch --parsable --job-name=lessismore-eval --array=0-7 --requeue --open-mode=append /,
  );
  expect(stdout).toMatch(/--gpus-per-node=h100:1/);
  expect(existsSync(join(folder, "none"))).toBe(false);
  expect(states()).toBe(before);
  expect(spawnSync("bash", ["-n"], { input: stdout, encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
});

test("what Slurm refuses is said in its words", () => {
  const { status, stderr } = lessismore([...EVAL, "--out", "refused", "--slurm", "--partition", "nowhere"]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/--slurm: sbatch refused: .*invalid partition/i);
});
