/** Processes that see one card: a device file that every Linux has stands for another card's. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { BackendError } from "../../src/base/errors.ts";
import { checkHiding, hidingFiles } from "../../src/node/one-gpu-process.ts";
import { TestFolder } from "./command-line.ts";

const FILE = "/dev/zero";
const BUILT = fileURLToPath(new URL("../../dist/src/node/one-gpu-process.js", import.meta.url));

/** Why this machine lets nobody hide files; undefined if it does. */
function refusal(): string | undefined {
  try {
    checkHiding([FILE]);
    return undefined;
  } catch (error) {
    if (error instanceof BackendError) return error.message;
    throw error;
  }
}

const reason = refusal();
if (reason !== undefined) console.warn(`processes that see one card are not tested: ${reason}`);

describe.skipIf(reason !== undefined)("a process that sees one card", () => {
  const folder = new TestFolder();
  afterAll(() => folder.remove());

  it.each([
    ["with the rights of root", process.getuid?.() === 0],
    ["with a user namespace", false],
  ])("cannot open the hidden file, opens others, and changes nothing for this process: %s", (_, isRoot) => {
    const script = `head -c 1 /dev/full | wc -c; head -c 1 ${FILE}; echo "$1"`;
    const command = hidingFiles([FILE], { file: "sh", args: ["-c", script, "sh", "two words"] }, isRoot);
    const { stdout, stderr, status } = spawnSync(command.file, command.args, {
      encoding: "utf8",
      timeout: 30_000,
    });
    expect({ stdout, status }).toEqual({ stdout: "1\ntwo words\n", status: 0 });
    expect(stderr).toMatch(/zero.*Permission denied/);
    closeSync(openSync(FILE, "r+"));
  });

  it("is given the command line, output, exit code and SIGTERM of the process that starts it", async () => {
    const script = folder.file(
      "main.mjs",
      `import { openSync } from "node:fs";
       import { runWithOneGpu } from ${JSON.stringify(BUILT)};
       const isFirst = process.env.LESSISMORE_GPU === undefined;
       if (isFirst) process.exitCode = await runWithOneGpu({ index: 1, address: "0000:0b:00.0", hide: ["${FILE}"] });
       else {
         let opened = "opened";
         try { openSync("${FILE}", "r+"); } catch (error) { opened = error.code; }
         process.on("SIGTERM", () => process.exit(7));
         setTimeout(() => process.exit(8), 60_000);
         console.log(JSON.stringify([process.env.LESSISMORE_GPU, opened, process.argv.slice(2)]));
       }`,
    );
    const started = spawn(process.execPath, [script, "serve", "--device", "1"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((done) => started.once("exit", done));
    const line = await new Promise((done) => started.stdout.once("data", done));
    expect(JSON.parse(String(line))).toEqual(["1 0000:0b:00.0", "EACCES", ["serve", "--device", "1"]]);
    started.kill("SIGTERM");
    expect(await ended).toBe(7);
  });
});

it("says which file could not be hidden, and what else to do", () => {
  expect(() => checkHiding(["/dev/no-such-card"])).toThrow(
    /hiding \/dev\/no-such-card from a process.*needs Linux, the command unshare.*DeviceAllow=/s,
  );
});
