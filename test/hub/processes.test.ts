/** The built command line with a hub on this machine: several processes, killed ones, and the commands of people. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { golden, MAIN, problem } from "../e2e/command-line.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { LocalHub } from "./local-hub.ts";

/** Parts of an unfinished download (`node/hub/partial-blob.ts`). */
const PART_BYTES = 256 << 10;

const MODEL = repositoryPath("models/pico-reasoner");
const FILES = readdirSync(MODEL).filter((name) => /\.(json|jinja|safetensors)$/.test(name));
const WEIGHTS = new Uint8Array(24 << 20).map((_, i) => (i >>> 12) ^ i);

let hub: LocalHub;
let cache: string;
const running = new Set<ChildProcess>();
beforeEach(async () => {
  hub = await LocalHub.start({
    "org/pico": { files: Object.fromEntries(FILES.map((file) => [file, readFileSync(join(MODEL, file))])) },
    "org/big": { files: { "config.json": "{}", "model.safetensors": WEIGHTS } },
  });
  cache = mkdtempSync(join(tmpdir(), "lessismore-hub-"));
});
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  hub.close();
  rmSync(cache, { recursive: true });
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the command line with this hub and cache. */
function start(...args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: {
      ...process.env,
      HF_ENDPOINT: hub.url,
      HF_HUB_CACHE: cache,
      HF_HOME: join(cache, "home"),
      HF_TOKEN: "",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (status) => {
      running.delete(child);
      resolve({ status, stdout, stderr });
    }),
  );
  return { child, ended };
}
const run = (...args: readonly string[]) => start(...args).ended;

const blobs = (repo: string) => join(cache, `models--org--${repo}`, "blobs");
const served = () =>
  hub.seen.filter(({ kind }) => kind === "store").reduce((sum, { range }) => sum + spanOf(range), 0);

function spanOf(range: string | undefined): number {
  const [, first, last] = /(\d+)-(\d+)/.exec(range ?? "") ?? [];
  return Number(last) - Number(first) + 1;
}

/** Waits, at most 20 s, until `isDue`. */
async function until(isDue: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!isDue()) {
    if (performance.now() > end) throw new Error("it did not happen within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function expectWhole(): void {
  const [sha256] = readdirSync(blobs("big")).filter((name) => name.length === 64);
  expect(sha256).toBe(createHash("sha256").update(WEIGHTS).digest("hex"));
  expect(readFileSync(join(blobs("big"), sha256 ?? "")).equals(WEIGHTS)).toBe(true);
  expect(readdirSync(blobs("big")).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
}

describe("several processes", () => {
  test("fetch each byte once between them, and both succeed", async () => {
    hub.piece = { bytes: 256 << 10, pauseMs: 5 };
    const results = await Promise.all([run("pull", "org/big"), run("pull", "org/big")]);
    expect(
      results.map(({ status, stderr }) => [status, stderr.includes("MB fetched") || stderr.includes("here")]),
    ).toEqual([
      [0, true],
      [0, true],
    ]);
    expect(served()).toBe(WEIGHTS.length);
    expectWhole();
  });

  test("one that is killed in the midst leaves its part to the next, and its lock to nobody", async () => {
    hub.piece = { bytes: 128 << 10, pauseMs: 20 };
    const { child, ended } = start("pull", "org/big");
    const partial = () =>
      existsSync(blobs("big")) && readdirSync(blobs("big")).find((name) => name.endsWith(".incomplete"));
    const marks = () => {
      const name = partial();
      return name
        ? readFileSync(join(blobs("big"), name))
            .subarray(WEIGHTS.length)
            .filter((mark) => mark === 1).length
        : 0;
    };
    await until(() => marks() >= 2);
    child.kill("SIGKILL");
    await ended;
    expect(
      readdirSync(blobs("big")).every((name) => name.length === 40 || name.endsWith(".incomplete")),
    ).toBe(true);
    const kept = marks();
    // requests of the killed process may still lie in the hub's queue
    let asked: number;
    do {
      asked = hub.seen.length;
      await new Promise((resolve) => setTimeout(resolve, 250));
    } while (hub.seen.length > asked);
    hub.seen.length = 0;
    hub.piece = { bytes: 1 << 20, pauseMs: 0 };
    const { status, stderr } = await run("pull", "org/big");
    expect([status, stderr]).toEqual([0, expect.stringContaining("fetched")]);
    expect(served()).toBe(WEIGHTS.length - kept * PART_BYTES);
    expectWhole();
  });

  test("one that is interrupted says how to go on", async () => {
    hub.piece = { bytes: 64 << 10, pauseMs: 20 };
    const { child, ended } = start("pull", "org/big");
    await until(() => hub.seen.some(({ kind }) => kind === "store"));
    child.kill("SIGINT");
    const { status, stderr } = await ended;
    expect(status).toBe(130);
    expect(stderr).toContain("`lessismore pull org/big` goes on where it ended");
  });
});

describe("the command line", () => {
  const greedy = [
    "--temperature",
    "0",
    "--attention",
    "full",
    "--max-tokens",
    "12",
    "--json",
    "--backend",
    "wasm",
  ];

  test("generates from a name of the hub: fetched once, then run; offline the second time", async () => {
    const first = await run("generate", "-m", "org/pico", ...greedy, problem);
    expect([first.status, first.stderr]).toEqual([0, ""]);
    expect(JSON.parse(first.stdout).tokenIds).toEqual(golden.greedy_ids.slice(0, 12));
    hub.fault = (_request, response) => {
      response.destroy();
      return true;
    };
    const second = await run("generate", "-m", "org/pico", ...greedy, problem);
    expect(JSON.parse(second.stdout).tokenIds).toEqual(golden.greedy_ids.slice(0, 12));
    expect(second.stderr).toContain("the hub did not answer");
  });

  test("inspects a name of the hub by its headers alone", async () => {
    const { status, stdout, stderr } = await run("inspect", "org/pico");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("layers         10");
    expect(stdout).toContain("the weights are not on this machine");
    const weights = hub.contentOf("org/pico", "model.safetensors").length;
    expect(served()).toBeLessThan(weights / 4);
    expect(existsSync(join(cache, "models--org--pico"))).toBe(false);
  });

  test("lists and removes models", async () => {
    expect((await run("models")).stdout).toContain("no models in the cache");
    await run("pull", "org/pico");
    const [pico] = JSON.parse((await run("models", "--json")).stdout);
    const sizeBytes = FILES.reduce((sum, file) => sum + hub.contentOf("org/pico", file).length, 0);
    expect(pico).toMatchObject({
      name: "org/pico",
      sizeBytes,
      partialBytes: 0,
      revisions: [{ refs: ["main"], sizeBytes }],
    });
    expect((await run("models")).stdout).toMatch(/^MODEL +SIZE +REVISIONS\norg\/pico +\d+\.\d MB +main/);
    const wrong = await run("models", "remove", "org/pica");
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining("did you mean org/pico?")]);
    const removed = await run("models", "remove", "org/pico", "--json");
    expect(JSON.parse(removed.stdout)).toEqual({ name: "org/pico", freedBytes: sizeBytes, sharedBytes: 0 });
    expect(JSON.parse((await run("models", "--json")).stdout)).toEqual([]);
  });

  test("a wrong command line of a nested command is one, too", async () => {
    const nameless = await run("models", "remove");
    expect([nameless.status, nameless.stderr]).toEqual([
      2,
      "lessismore: missing required argument 'model'\n",
    ]);
    const unknown = await run("models", "remove", "--all", "org/pico");
    expect([unknown.status, unknown.stderr]).toEqual([2, "lessismore: unknown option '--all'\n"]);
  });

  test("an impossible name is a wrong command line; a missing model a failure", async () => {
    const impossible = await run("pull", "hf:nobody");
    expect([impossible.status, impossible.stderr]).toEqual([
      2,
      expect.stringContaining("no model of the hub"),
    ]);
    const missing = await run("generate", "-m", "org/picoo", problem);
    expect([missing.status, missing.stderr]).toEqual([1, expect.stringContaining("did you mean org/pico?")]);
  });

  test("suggests models", async () => {
    const { stdout } = await run("models", "--suggest");
    expect(stdout).toContain("Qwen/Qwen3-1.7B");
    expect(JSON.parse((await run("models", "--suggest", "--json")).stdout).length).toBeGreaterThan(5);
  });
});
