// `npm test`: format and lint, types, the import law, then the tests. The last line is `N passed, N failed`, each gate
// counted as one.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Far more than the tests take: it ends a run that hangs, such as a page whose thread is blocked. */
const TESTS_LIMIT_MS = 30 * 60_000;
const total = { passed: 0, failed: 0, skipped: 0 };

/** Runs one Node script of the checkout with its output passed on; true when it exits 0. */
function runScript(script, ...args) {
  const options = { cwd: root, stdio: "inherit", timeout: TESTS_LIMIT_MS };
  const result = spawnSync(process.execPath, [join(root, script), ...args], options);
  if (result.error) console.error(`${script}: ${result.error.message}`);
  return result.status === 0;
}

function gate(name, script, ...args) {
  console.log(`\n== ${name}`);
  const isGood = runScript(script, ...args);
  total[isGood ? "passed" : "failed"]++;
  console.log(`${name}: ${isGood ? "passed" : "FAILED"}`);
}

function tests() {
  console.log("\n== tests");
  const folder = mkdtempSync(join(tmpdir(), "lessismore-tests-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const isGood = runScript("node_modules/vitest/vitest.mjs", "run", ...reporters);
  const counts = readCounts(report);
  rmSync(folder, { recursive: true, force: true });
  // A crash, or an error outside any test, fails the run without a failed test to count.
  if (!isGood && counts.failed === 0) counts.failed = 1;
  if (isGood && counts.passed === 0) counts.failed += 1;
  for (const key of Object.keys(total)) total[key] += counts[key];
}

function readCounts(path) {
  try {
    const report = JSON.parse(readFileSync(path, "utf8"));
    const brokenFiles = report.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    );
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + brokenFiles.length,
      skipped: report.numPendingTests + (report.numTodoTests ?? 0),
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

gate("format and lint", "node_modules/@biomejs/biome/bin/biome", "check", ".");
gate("types", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json");
gate("import law", "scripts/check-imports.mjs");
tests();
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
