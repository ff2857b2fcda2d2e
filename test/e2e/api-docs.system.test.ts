/** The reference of the public exports: every export is described, and every type that one mentions is in it. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "lessismore-api-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("npm run docs:api documents every entry without a warning", () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [repositoryPath("scripts/api-docs.mjs"), folder],
    { encoding: "utf8", timeout: 600_000 },
  );
  expect(status, stdout + stderr).toBe(0);
  expect(stdout + stderr).not.toContain("[warning]");
  for (const page of [
    "functions/lessismore.openEngine.html",
    "functions/lessismore_ai-sdk.createLessIsMore.html",
    "functions/lessismore_eval.evaluate.html",
    "functions/lessismore_server.listen.html",
    "functions/lessismore_worker.openEngineInWorker.html",
    "interfaces/lessismore.AttentionPolicy.html",
  ])
    expect(existsSync(join(folder, page)), page).toBe(true);
  const engine = readFileSync(join(folder, "interfaces/lessismore.Engine.html"), "utf8");
  expect(engine).toContain("tokenizePrompt");
}, 600_000);
