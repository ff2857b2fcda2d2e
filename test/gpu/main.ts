/**
 * `npm run test:gpu`: what the WebGPU backend computes on this machine's GPU, in the sizes that emulation has no time for:
 * prefill on subgroup matrices over many chunks, long contexts, vocabularies of real models, all golden checkpoints. It needs
 * the build and the package `webgpu`, no test runner. `--out FILE` writes a summary; those of releases lie in bench/results.
 * `--attention` leaves out all but the self-test and attention.
 */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeRun } from "../../bench/machine.ts";
import { ALLOWED_ERROR } from "../../src/backend/backend-kind.ts";
import { reportAdapter } from "../../src/backend/webgpu/adapter-report.ts";
import {
  referenceFor,
  runSelfTest,
  SELF_TEST_CAPACITY,
  SELF_TEST_MODEL,
} from "../../src/machine/self-test.ts";
import { testDecode, testPageScores, testPrefill, testWindows } from "./attention.ts";
import { testChunks } from "./chunks.ts";
import { testGoldens } from "./goldens.ts";
import { type GpuRun, openGpuRun, testedCaches } from "./gpu.ts";
import { testProducts } from "./products.ts";
import { GpuRows } from "./rows.ts";
import { testSampling, testSelection } from "./selection.ts";

/** Every op at one small shape, against the reference backend; choices must be the same ones. */
async function testSelf(run: GpuRun): Promise<void> {
  for (const cacheDtype of testedCaches(run)) {
    const isRounded = cacheDtype === "f32" && run.hasSubgroupMatrices;
    const allowed = ALLOWED_ERROR[isRounded ? "f16" : cacheDtype];
    const backend = await run.openOn(cacheDtype)(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
    for (const { op, error, allowed: bound } of await runSelfTest(
      backend,
      await referenceFor(backend),
      allowed,
    ))
      run.rows.add("self-test", `${op}, ${cacheDtype} cache`, { error, bound });
    await backend.close();
  }
}

/** The repository: dist/test/gpu lies three folders below it. */
function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function summary(run: GpuRun, elapsedMs: number): string {
  const { rows, adapter } = run;
  const about = {
    ...describeRun(),
    command: `npm run test:gpu -- ${process.argv.slice(2).join(" ")}`.trim(),
  };
  const counts = { passed: rows.all.length - rows.numFailed, failed: rows.numFailed };
  const content = {
    ...{ run: about, isQuick: run.isQuick, elapsedMs: Math.round(elapsedMs), counts },
    ...{ adapter: reportAdapter(adapter), worst: rows.worst, rows: rows.all },
  };
  return `${JSON.stringify(content, null, 1)}\n`;
}

async function testOthers(run: GpuRun, root: string): Promise<void> {
  await testProducts(run);
  await testSelection(run);
  await testSampling(run);
  await testChunks(run, root);
  await testGoldens(run, root);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { out: { type: "string" }, quick: { type: "boolean" }, attention: { type: "boolean" } },
  });
  const started = performance.now();
  const rows = new GpuRows((line) => process.stdout.write(`${line}\n`));
  const run = await openGpuRun(rows, values.quick === true);
  await testSelf(run);
  await testPrefill(run);
  await testDecode(run);
  await testPageScores(run);
  await testWindows(run);
  if (values.attention !== true) await testOthers(run, repositoryRoot());
  const elapsedMs = performance.now() - started;
  if (values.out !== undefined) writeFileSync(values.out, summary(run, elapsedMs));
  run.close();
  process.stdout.write(`\n${(elapsedMs / 1000).toFixed(0)} s\n`);
  process.stdout.write(`${rows.all.length - rows.numFailed} passed, ${rows.numFailed} failed\n`);
  process.exitCode = rows.numFailed > 0 ? 1 : 0;
}

await main();
