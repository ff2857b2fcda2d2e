import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Attempt } from "./attempt.ts";
import { ATTEMPTS_FILE, AttemptLog, readAttempts } from "./attempt-log.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-attempts-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const row = (attempt: number, response = "text"): Attempt => ({
  settingsHash: "hash",
  task: "graph",
  length: 512,
  problemId: "1-0",
  attempt,
  seed: 7,
  attention: "full",
  metric: "correct",
  score: 1,
  target: "3",
  extracted: "3",
  rule: "boxed",
  promptTokens: 5,
  completionTokens: 6,
  finishReason: "stop",
  response,
});

async function readAll(): Promise<Attempt[]> {
  const rows: Attempt[] = [];
  for await (const attempt of readAttempts(folder)) rows.push(attempt);
  return rows;
}

const file = () => join(folder, ATTEMPTS_FILE);

it("keeps what is appended, also at once, in order, with line separators of Unicode inside", async () => {
  const { log, attempts } = await AttemptLog.open(folder);
  expect(attempts.size).toBe(0);
  const rows = [0, 1, 2, 3].map((attempt) => row(attempt, `a\nb\u2028c\u0085d${attempt}`));
  await Promise.all(rows.map((one) => log.append(one)));
  await log.close();
  expect(await readAll()).toEqual(rows);
});

it("cuts a last line without its end, wherever it was cut, and goes on after the whole ones", async () => {
  const first = await AttemptLog.open(folder);
  await first.log.append(row(0));
  await first.log.close();
  const whole = readFileSync(file());
  const second = `${JSON.stringify(row(1, "é".repeat(40_000)))}\n`;
  for (const cut of [1, 100, 70_000, Buffer.byteLength(second) - 1]) {
    writeFileSync(file(), Buffer.concat([whole, Buffer.from(second).subarray(0, cut)]));
    expect(await readAll()).toEqual([row(0)]);
    const { log, attempts } = await AttemptLog.open(folder);
    expect([...attempts.values()].map(({ attempt }) => attempt)).toEqual([0]);
    await log.append(row(2));
    await log.close();
    expect(await readAll()).toEqual([row(0), row(2)]);
  }
  truncateSync(file(), 10);
  expect(await readAll()).toEqual([]);
});

it("names a line in the middle that is no attempt", async () => {
  writeFileSync(file(), `${JSON.stringify(row(0))}\n{"task":"graph"}\n`);
  appendFileSync(file(), `${JSON.stringify(row(1))}\n`);
  await expect(readAll()).rejects.toThrow(/line 2 is not an attempt/);
  await expect(AttemptLog.open(folder)).rejects.toThrow(/line 2/);
});
