import { afterEach, describe, expect, test, vi } from "vitest";
import { describeWorker } from "../../test/worker/worker-suite.ts";
import { BackendError, ConfigError, ModelFileError } from "../base/errors.ts";
import { openEngine } from "./index.ts";
import { openEngineInWorker, type WorkerEngineOptions } from "./worker.ts";

const OPTIONS = {
  model: "/models/pico-reasoner",
  backend: "wasm",
  contextLength: 4096,
  tuning: "default",
} as const;
const FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"];
const REQUEST = { prompt: "a b c", ignoreEos: true, maxTokens: 3000, temperature: 0 };

describeWorker({
  direct: () => openEngine(OPTIONS),
  inWorker: () => openEngineInWorker(OPTIONS),
});

/** Workers of engines, which the package starts. */
const started: Worker[] = [];
vi.stubGlobal(
  "Worker",
  class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      if (options?.name === "lessismore") started.push(this);
    }
  },
);

describe("openEngineInWorker in a browser", () => {
  afterEach(() => started.splice(0));

  test("opens files, URLs relative to the page, and reports the threads that the worker has", async () => {
    const chosen = await Promise.all(
      FILES.map(
        async (name) => new File([await (await fetch(`/models/pico-reasoner/${name}`)).blob()], name),
      ),
    );
    const relative = new URL("/models/pico-reasoner", location.href);
    const models: WorkerEngineOptions["model"][] = [
      chosen,
      relative,
      `${location.origin}/models/pico-reasoner`,
    ];
    for (const model of models) {
      const engine = await openEngineInWorker({ ...OPTIONS, model });
      expect(engine.report().backend.threads).toBe(navigator.hardwareConcurrency);
      expect((await engine.generate({ ...REQUEST, maxTokens: 3 }).result()).tokenIds).toHaveLength(3);
      await engine.close();
    }
  });

  test("a URL that is relative to the page means the same in the worker", async () => {
    const message = async (open: typeof openEngine) =>
      String(await open({ ...OPTIONS, model: "../nothing/here" }).catch((error: unknown) => error));
    expect(await message(openEngineInWorker as typeof openEngine)).toBe(await message(openEngine));
  });

  test.each<[string, Partial<WorkerEngineOptions>, typeof ConfigError]>([
    ["a missing folder", { model: "/models/nobody" }, ModelFileError],
    ["an unknown policy", { attention: "nope" }, ConfigError],
    ["an unknown option", { treads: 1 } as object, ConfigError],
    ["missing kernels", { wasmFolder: "/nowhere" }, BackendError],
  ])("%s is the error of openEngine", async (_, options, Class) => {
    const errors = [openEngineInWorker, openEngine].map((open) =>
      open({ ...OPTIONS, ...options }).catch((error: unknown) => error as Error),
    );
    const [inWorker, direct] = (await Promise.all(errors)) as [Error, Error];
    expect(inWorker).toBeInstanceOf(Class);
    expect(inWorker.message).toBe(direct.message);
  });

  test("fails what runs if the browser ends the worker in the middle", async () => {
    const engine = await openEngineInWorker(OPTIONS);
    const generation = engine.generate(REQUEST);
    await generation[Symbol.asyncIterator]().next();
    started.at(-1)?.terminate();
    await expect(generation.result()).rejects.toThrow(BackendError);
    await expect(engine.logits([1, 2])).rejects.toThrow("the engine's worker ended");
    await engine.close();
  });
});
