// `npm test`: format and lint, types, the import law, then the tests. The last line is `N passed, N failed`, each gate
// counted as one.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { newerNode } from "./newer-node.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Far more than the tests take: it ends a run that hangs, such as a page whose thread is blocked. */
const TESTS_LIMIT_MS = 30 * 60_000;
const total = { passed: 0, failed: 0, skipped: 0 };

/** Tests of what depends on the JavaScript engine: kernels, their suites, and goldens of whole models. */
const ENGINE_TESTS = ["src/backend/wasm", "test/conformance", "test/golden/hugging-face.test.ts"];

/** Runs one script of the checkout in Node with its output passed on; true when it exits 0. */
function runScript(script, args = [], { node = process.execPath, env = {} } = {}) {
  const options = { cwd: root, stdio: "inherit", timeout: TESTS_LIMIT_MS, env: { ...process.env, ...env } };
  const result = spawnSync(node, [join(root, script), ...args], options);
  if (result.error) console.error(`${script}: ${result.error.message}`);
  return result.status === 0;
}

function gate(name, script, ...args) {
  console.log(`\n== ${name}`);
  const isGood = runScript(script, args);
  total[isGood ? "passed" : "failed"]++;
  console.log(`${name}: ${isGood ? "passed" : "FAILED"}`);
}

/** Runs test files, all where none are named, and counts. */
function tests(files = [], run = {}) {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-tests-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const isGood = runScript("node_modules/vitest/vitest.mjs", ["run", ...reporters, ...files], run);
  const counts = readCounts(report);
  rmSync(folder, { recursive: true, force: true });
  // A crash, or an error outside any test, fails the run without a failed test to count.
  if (!isGood && counts.failed === 0) counts.failed = 1;
  if (isGood && counts.passed === 0) counts.failed += 1;
  for (const key of Object.keys(total)) total[key] += counts[key];
}

/** The tests that depend on the JavaScript engine, on a newer one too. On CI one that is missing is a failure. */
function testsOnNewerNode() {
  console.log("\n== tests on a newer Node");
  const found = newerNode();
  if ("path" in found) {
    console.log(found.version);
    // WebGPU is another program's, the same under every Node
    const env = { LESSISMORE_TESTS: "cpu", LESSISMORE_REQUIRE_WEBGPU: "0" };
    tests(["--project", "node", ...ENGINE_TESTS], { node: found.path, env });
    return;
  }
  const isRequired = process.env.LESSISMORE_REQUIRE_WEBGPU === "1" && process.platform === "linux";
  console.log(`${isRequired ? "FAILED" : "skipped"}: ${found.reason}`);
  total[isRequired ? "failed" : "skipped"]++;
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
console.log("\n== tests");
tests();
testsOnNewerNode();
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
