/** The engine on a worker thread of Node, and from the package's bundle. */
import { spawnSync } from "node:child_process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { BackendError, ConfigError, ModelFileError, RequestError } from "../../src/base/errors.ts";
import { loadPolicyFile, openEngine } from "../../src/node/index.ts";
import { openEngineInWorker } from "../../src/node/worker.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { describeWorker } from "../worker/worker-suite.ts";

const OPTIONS = { backend: "wasm", threads: 1, contextLength: 4096, tuning: "default" } as const;
const WINDOW = repositoryPath("test/worker/window.mjs");
const REQUEST = { prompt: "a b c ".repeat(20), ignoreEos: true, maxTokens: 60, temperature: 0 };

describeWorker({
  direct: () => openEngine(OPTIONS),
  inWorker: () => openEngineInWorker(OPTIONS),
});

describe("openEngineInWorker in Node", () => {
  it("rejects with the errors of openEngine", async () => {
    const errorOf = (opening: Promise<unknown>) => opening.catch((error: unknown) => error);
    for (const options of [
      { model: "./nothing-here" },
      { ...OPTIONS, attention: "nope" },
      { ...OPTIONS, contextLength: 1e9 },
    ]) {
      const [inWorker, direct] = [
        await errorOf(openEngineInWorker(options)),
        await errorOf(openEngine(options)),
      ];
      expect(inWorker).toBeInstanceOf((direct as Error).constructor);
      expect((inWorker as Error).message).toBe((direct as Error).message);
    }
    expect(await errorOf(openEngineInWorker({ model: "./nothing-here" }))).toBeInstanceOf(ModelFileError);
    await expect(openEngineInWorker({ treads: 1 } as never)).rejects.toThrow('did you mean "threads"?');
    await expect(openEngineInWorker({ policies: { full: WINDOW } })).rejects.toThrow("free of the names");
    await expect(openEngineInWorker({ signal: AbortSignal.abort("no") })).rejects.toMatchObject({
      cause: "no",
    });
  });

  it("saves and loads a session of many turns, beside a request that goes on meanwhile", async () => {
    const tokenIds = Array.from({ length: 1000 }, (_, i) => 20 + ((i * 7919) % 400));
    const turn = { tokenIds: [...tokenIds, 30, 31, 32], maxTokens: 12, ignoreEos: true, temperature: 0 };
    const engine = await openEngineInWorker(OPTIONS);
    const expected = await engine.generate(turn).result();
    const { bytes, tokens } = await engine.saveSession({ tokenIds });
    // copied in parts of 4 MiB
    expect(bytes.length).toBeGreaterThan(8 << 20);
    const other = await openEngine(OPTIONS);
    const beside = other.generate(REQUEST).result();
    expect(await other.loadSession(bytes)).toEqual({ tokens, decodedTokens: 0, notes: [] });
    const result = await other.generate(turn).result();
    expect([result.usage.cachedTokens, result.tokenIds]).toEqual([992, expected.tokenIds]);
    expect((await beside).tokenIds).toEqual((await engine.generate(REQUEST).result()).tokenIds);
    await Promise.all([engine.close(), other.close()]);
  });

  it("loads policies of one's own in the worker, by the names that it was opened with", async () => {
    const engine = await openEngineInWorker({ ...OPTIONS, policies: { mine: WINDOW } });
    const direct = await openEngine(OPTIONS);
    const { policy } = await loadPolicyFile(`${WINDOW}:budget=24`);
    const own = await direct.generate({ ...REQUEST, attention: policy }).result();
    const { tokenIds, attention } = await engine
      .generate({ ...REQUEST, attention: "mine:budget=24" })
      .result();
    expect({ tokenIds, attention }).toEqual({ tokenIds: own.tokenIds, attention: own.attention });
    expect(attention.attendedFraction).toBeLessThan(0.5);
    const full = await engine.generate(REQUEST).result();
    expect(full.tokenIds).not.toEqual(tokenIds);
    // a request names no file
    const file = engine.generate({ ...REQUEST, attention: `${WINDOW}:budget=24` }).result();
    await expect(file).rejects.toThrow(ConfigError);
    const failing = engine.generate({ ...REQUEST, attention: "mine:budget=24,throwAt=5" });
    await expect(failing.result()).rejects.toThrow(RequestError);
    await expect(engine.score({ tokenIds: [1, 2, 3], from: 1, attention: "mine" })).rejects.toThrow(
      ConfigError,
    );
    await engine.close();
    await direct.close();
  });

  it("fails every request, and hangs on none, after its thread has ended in the middle", async () => {
    const engine = await openEngineInWorker({ ...OPTIONS, policies: { mine: WINDOW } });
    const beside = engine.generate({ ...REQUEST, maxTokens: 3000 });
    const scoring = engine.score({ tokenIds: engine.tokenizer.encode("a b ".repeat(500)), from: 2 });
    const ending = engine.generate({ ...REQUEST, attention: "mine:budget=24,exitAt=30" });
    let numTokens = 0;
    const read = async () => {
      for await (const part of ending) numTokens += part.tokenIds.length;
    };
    const failures = await Promise.all(
      [read(), beside.result(), scoring].map((one) => one.catch((error: unknown) => error)),
    );
    for (const error of failures) {
      expect(error).toBeInstanceOf(BackendError);
      expect((error as Error).message).toBe("the engine's worker ended: exit code 7; open a new engine");
    }
    expect(numTokens).toBeGreaterThan(5);
    await expect(engine.generate(REQUEST).result()).rejects.toThrow("exit code 7");
    await engine.close();
  });

  it("unloads no model under a request that was just made, whose thread has not counted it", async () => {
    const engine = await openEngineInWorker(OPTIONS);
    const expected = await engine.generate(REQUEST).result();
    const generation = engine.generate(REQUEST);
    await expect(engine.unload()).rejects.toThrow("1 requests run or wait");
    const scoring = engine.logits([20, 57, 94]);
    expect((await generation.result()).tokenIds).toEqual(expected.tokenIds);
    await scoring;
    await engine.unload();
    expect(engine.stats().pages.total).toBe(0);
    expect((await engine.generate(REQUEST).result()).tokenIds).toEqual(expected.tokenIds);
    await engine.close();
  });

  it("leaves the caller's thread free during a long prefill", async () => {
    const engine = await openEngineInWorker(OPTIONS);
    const tokenIds = Array.from({ length: 1000 }, (_, i) => 20 + ((i * 37) % 200));
    const generation = engine.generate({ tokenIds, maxTokens: 1 });
    let numTurns = 0;
    let isDone = false;
    const result = generation.result().finally(() => {
      isDone = true;
    });
    for (; !isDone; numTurns++) await new Promise((resolve) => setTimeout(resolve, 1));
    // on the engine's own thread there is a turn for each chunk of up to a quarter of a second
    expect(numTurns).toBeGreaterThan((await result).timings.prefillMs / 20);
    await engine.close();
  });

  it("keeps its memory over many requests", async () => {
    setFlagsFromString("--expose-gc");
    const collect: () => void = runInNewContext("gc");
    const engine = await openEngineInWorker(OPTIONS);
    const heap = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const run = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const controller = new AbortController();
        const { signal } = controller;
        const read = engine.generate({ prompt: "a b c", maxTokens: 6, ignoreEos: true, signal });
        for await (const _ of read) if (i % 3 === 0) break;
        if (i % 3 === 1) controller.abort();
        if (i % 3 === 2) await read.result();
      }
    };
    await run(60);
    const before = heap();
    await run(300);
    expect(heap() - before).toBeLessThan(600_000); // 2 kB a request
    await engine.close();
  }, 60_000);
});

describe("lessismore/worker", () => {
  it("runs from the bundle, with the package's error classes, and does not keep a process alive", () => {
    const script = `
      import { RequestError, openEngine } from "lessismore";
      import { openEngineInWorker } from "lessismore/worker";
      const options = { backend: "wasm", threads: 2, contextLength: 512 };
      const request = { prompt: "a b c", maxTokens: 8, ignoreEos: true, temperature: 0 };
      const [engine, direct] = [await openEngineInWorker(options), await openEngine(options)];
      const [one, other] = await Promise.all([engine, direct].map((each) => each.generate(request).result()));
      const error = await engine.generate({ tokenIds: [1e6] }).result().catch((error) => error);
      console.log(one.text === other.text, engine.report().backend.threads, error instanceof RequestError);
      await direct.close();`;
    const args = ["--input-type=module", "--eval", script];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      ...{ cwd: repositoryPath("."), encoding: "utf8", timeout: 60_000 },
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout.trim()).toBe("true 2 true");
  });
});
