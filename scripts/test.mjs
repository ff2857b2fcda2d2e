// `npm test`, `npm run test:quick`, `npm run test:system`: gates, then tests. CONTRIBUTING.md says what goes where.
// The last line is `N passed, N failed`, each gate counted as one.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromiumLaunchOptions } from "./chromium.mjs";
import { newerNode } from "./newer-node.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const total = { passed: 0, failed: 0, skipped: 0 };
/** A line each, for the end of the output: a log may have lost its middle. */
const failures = [];

/** Tests that another JavaScript engine may fail: the WASM kernels, their suites, and whole models on them. */
const ENGINE_TESTS = ["src/backend/wasm", "test/conformance", "test/golden/hugging-face.test.ts"];

/** Each ends a run that hangs, such as a page whose thread is blocked: far more than its tests take. */
const SUITES = {
  quick: { run: quick, limitMs: 5 * 60_000 },
  all: { run: all, limitMs: 30 * 60_000 },
  system: { run: system, limitMs: 54 * 60_000 },
};

const name = process.argv[2] ?? "all";
const suite = Object.hasOwn(SUITES, name) ? SUITES[name] : undefined;
if (suite === undefined) {
  console.error(`test: unknown suite "${name}"; known are ${Object.keys(SUITES).join(", ")}`);
  process.exit(2);
}

function quick() {
  gates();
  tests("in Node, without WebGPU", ["--project", "node"], { env: { LESSISMORE_SUITE: "quick" } });
}

function all() {
  gates();
  tests("in Node", ["--project", "node"]);
}

function system() {
  tests("in Node, the long ones", ["--project", "system"], { env: { LESSISMORE_SUITE: "system" } });
  testsInBrowser();
  testsOnNewerNode();
}

function gates() {
  gate("format and lint", "node_modules/@biomejs/biome/bin/biome", "check", ".");
  gate("types", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json");
  gate("types of the page", "node_modules/typescript/bin/tsc", "--noEmit", "-p", "web/tsconfig.json");
  gate("import law", "scripts/check-imports.mjs");
}

/** Runs one script of the checkout in Node with its output passed on; true when it exits 0. */
function runScript(script, args = [], { node = process.execPath, env = {} } = {}) {
  const options = { cwd: root, stdio: "inherit", timeout: suite.limitMs, env: { ...process.env, ...env } };
  const result = spawnSync(node, [join(root, script), ...args], options);
  if (result.error) console.error(`${script}: ${result.error.message}`);
  return result.status === 0;
}

function gate(what, script, ...args) {
  console.log(`\n== ${what}`);
  const isGood = runScript(script, args);
  total[isGood ? "passed" : "failed"]++;
  if (!isGood) failures.push(what);
  console.log(`${what}: ${isGood ? "passed" : "FAILED"}`);
}

/** Runs vitest and counts. */
function tests(what, args, run = {}) {
  console.log(`\n== tests ${what}`);
  const folder = mkdtempSync(join(tmpdir(), "lessismore-tests-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const isGood = runScript("node_modules/vitest/vitest.mjs", ["run", ...reporters, ...args], run);
  const counts = readReport(report, what);
  rmSync(folder, { recursive: true, force: true });
  // A crash, or an error outside any test, fails the run without a failed test to count.
  if (!isGood && counts.failed === 0) {
    counts.failed = 1;
    failures.push(`tests ${what}: the run ended with an error outside any test`);
  }
  if (isGood && counts.passed === 0) counts.failed += 1;
  for (const key of Object.keys(total)) total[key] += counts[key];
}

/** A second JavaScript engine with another Dawn. vitest.config.ts knows the project where there is a browser. */
function testsInBrowser() {
  if (chromiumLaunchOptions() !== undefined) tests("in a browser", ["--project", "browser"]);
  else missing("tests in a browser", "no Chromium was found (CONTRIBUTING.md)");
}

/** The tests that depend on the JavaScript engine, on a newer one too. WebGPU is another program's, the same under all. */
function testsOnNewerNode() {
  const found = newerNode();
  if ("path" in found) {
    const env = { LESSISMORE_SUITE: "newer-node", LESSISMORE_REQUIRE_WEBGPU: "0" };
    const run = { node: found.path, env };
    tests(`on Node ${found.version}`, ["--project", "node", ...ENGINE_TESTS], run);
  } else missing("tests on a newer Node", found.reason);
}

/** Something that cannot run here: skipped, and on CI, which installs it, failed. */
function missing(what, reason) {
  const isRequired = process.env.LESSISMORE_REQUIRE_WEBGPU === "1" && process.platform === "linux";
  console.log(`\n== ${what}\n${isRequired ? "FAILED" : "skipped"}: ${reason}`);
  if (isRequired) failures.push(`${what}: ${reason}`);
  total[isRequired ? "failed" : "skipped"]++;
}

/** Counts of a report of vitest. Notes what failed. */
function readReport(path, what) {
  try {
    const report = JSON.parse(readFileSync(path, "utf8"));
    // A file that cannot be loaded, or whose hooks fail, may have no test that fails.
    const broken = report.testResults.filter(
      ({ status, assertionResults }) =>
        status === "failed" && !assertionResults.some((test) => test.status === "failed"),
    );
    for (const { name, assertionResults } of report.testResults)
      for (const { status, fullName, failureMessages } of assertionResults)
        if (status === "failed") note(what, `${name}: ${fullName}`, failureMessages[0]);
    for (const { name, message } of broken) note(what, name, message);
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + broken.length,
      skipped: report.numPendingTests + (report.numTodoTests ?? 0),
    };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function note(what, name, message = "") {
  const [reason = ""] = message.split("\n", 1);
  failures.push(`${what}, ${name.replace(`${root}/`, "")}: ${reason.slice(0, 300)}`);
}

const started = performance.now();
suite.run();
console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s`);
for (const failure of failures) console.log(`FAILED ${failure}`);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
