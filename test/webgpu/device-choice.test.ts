import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { BackendError, ConfigError } from "../../src/base/errors.ts";
import { findGpu, listGpus } from "../../src/node/gpu-list.ts";
import { fitCheckpoint, openEngine } from "../../src/node/index.ts";
import { run } from "../e2e/command-line.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();
const drivers = process.env.VK_DRIVER_FILES;
const isSwiftShader = drivers?.includes("swiftshader") ?? false;

describe.skipIf(gpu === undefined)("the choice of a GPU", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-icd-"));

  afterEach(() => {
    if (drivers !== undefined) process.env.VK_DRIVER_FILES = drivers;
  });

  it("opens each listed GPU alone by number and name, the same function each time", async () => {
    const gpus = (await listGpus()).filter(
      ({ hide, problem }) => hide === undefined && problem === undefined,
    );
    for (const { index, name } of gpus) {
      const found = await findGpu(index);
      expect(found.label).toBe(`${index}: ${name}`);
      expect((await findGpu(name)).open).toBe(found.open);
      expect(await (await found.open()).requestAdapter()).not.toBeNull();
    }
    if (isSwiftShader) expect(gpus.map(({ name }) => name)).toEqual(["SwiftShader Device (Subzero)"]);
  });

  it("refuses a GPU that is not there, and one beside a backend of the CPU, before a file is read", async () => {
    const model = "/nowhere/at/all";
    await expect(openEngine({ model, device: 99 })).rejects.toThrow(ConfigError);
    await expect(openEngine({ model, device: "Voodoo" })).rejects.toThrow(
      /"Voodoo" is not there; this machine has 0: /,
    );
    await expect(openEngine({ model, device: 0, backend: "wasm" })).rejects.toThrow(/backend asks for wasm/);
    await expect(fitCheckpoint(model, { device: 99 })).rejects.toThrow(ConfigError);
  });

  it.each([
    ["generate", "hi"],
    ["eval", "--tasks", "registers"],
    ["eval", "ablations", "--tasks", "registers", "--problems", "1"],
    ["calibrate", "--dry-run"],
  ])("is refused by the command line with 2 and the list: %s %s", (...args) => {
    const { status, stderr } = run([...args, "--device", "99"]);
    expect(status).toBe(2);
    expect(stderr).toContain('device: GPU "99" is not there; this machine has 0: ');
  });

  it("is not for a model behind a server", () => {
    const endpoint = ["--endpoint", "http://127.0.0.1:1/v1", "--served-model", "m"];
    const { status, stderr } = run(["eval", "--tasks", "registers", ...endpoint, "--device", "0"]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringContaining("--device and --endpoint exclude each other"),
    ]);
  });

  it.runIf(isSwiftShader)(
    "tells two equal GPUs by number, and refuses what it cannot open apart",
    async () => {
      const [file = ""] = (drivers ?? "").split(":");
      const icd = JSON.parse(readFileSync(file, "utf8"));
      icd.ICD.library_path = resolve(dirname(file), icd.ICD.library_path);
      const second = join(folder, "second_icd.json");
      writeFileSync(second, JSON.stringify(icd));
      process.env.VK_DRIVER_FILES = `${file}:${second}`;
      try {
        expect((await listGpus()).map(({ name }) => name)).toEqual([
          "SwiftShader Device (Subzero) (1 of 2)",
          "SwiftShader Device (Subzero) (2 of 2)",
        ]);
        await expect(findGpu(1)).rejects.toThrow(BackendError);
        await expect(findGpu(0)).rejects.toThrow(/opening GPU 0: .*offers 2 named/);
        await expect(findGpu("swift")).rejects.toThrow(/means 2 of them; give a number/);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
