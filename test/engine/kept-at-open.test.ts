/** Opening an engine under a policy that keeps data beside the cache: the context is fitted beside them, on a machine of little memory. */
import { afterEach, expect, test } from "vitest";
import { BackendError, ConfigError, OutOfMemoryError } from "../../src/base/errors.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import { fitFolder } from "../../src/model-fits.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { repositoryPath } from "../golden/open-fixture.ts";

const MIB = 1 << 20;
const PICO = repositoryPath("models/pico-reasoner");
const CONTEXT = 4096;
/** Least memory that fits so long a context under full attention, to a page of linear memory. */
const BYTES = await leastMemory();
const KEY_SKETCH = "key-sketch:budget=64";
const SEER = "seer-attention-r:budget=64";

const opened: LoadedEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function noGpu(): Promise<never> {
  throw new BackendError("not here");
}

async function leastMemory(): Promise<number> {
  const folder = await openFileFolder(PICO);
  let [low, high] = [0, 1 << 14];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const wasm = { ...createWasmHost(), memoryBytes: middle << 16 };
    const [fit] = (await fitFolder({ folder, wasm, openGpu: noGpu })).filter(
      ({ backend }) => backend === "wasm",
    );
    if (fit && "contextLength" in fit && fit.contextLength >= CONTEXT) high = middle;
    else low = middle;
  }
  return high << 16;
}

/** pico-reasoner: 10 layers, 2 kv heads of 64, 8192 positions: keys and values of a token take 10 KiB. */
async function open(memoryBytes: number, options: EngineOptions): Promise<LoadedEngine> {
  const folder = await openFileFolder(PICO);
  const wasm = { ...createWasmHost(), memoryBytes };
  const engine = await openEngineWith(
    { folder, wasm, openGpu: noGpu },
    { backend: "wasm", threads: 1, tuning: "default", ...options },
  );
  opened.push(engine);
  return engine;
}

const generate = (engine: LoadedEngine, attention: string) =>
  engine.generate({ prompt: "x".repeat(300), attention, maxTokens: 4, ignoreEos: true }).result();

test("the context that fits is shorter beside sketches and beside a gate, and the policy's requests run", async () => {
  const contextOf = async (attention: string) =>
    (await open(BYTES, { attention })).report().model.contextLength;
  const [full, sketched, gated] = [
    await contextOf("full"),
    await contextOf(KEY_SKETCH),
    await contextOf(SEER),
  ];
  expect(full).toBe(CONTEXT);
  // memory of the cache comes in pieces of 1024 tokens, a sketch is 720 bytes a token
  expect(sketched).toBeLessThan(CONTEXT);
  expect(sketched).toBeGreaterThanOrEqual(CONTEXT - 2048);
  expect(gated).toBeLessThan(CONTEXT);
  const [, engine, seer] = opened as [LoadedEngine, LoadedEngine, LoadedEngine];
  expect((await generate(engine, KEY_SKETCH)).tokenIds).toHaveLength(4);
  expect((await generate(seer, SEER)).tokenIds).toHaveLength(4);
});

test("an asked context that fits beside the cache alone is refused with what the policy keeps", async () => {
  const asked = { contextLength: CONTEXT };
  await open(BYTES, { ...asked, attention: "full" });
  const failing = open(BYTES, { ...asked, attention: KEY_SKETCH });
  await expect(failing).rejects.toThrow(ConfigError);
  await expect(failing).rejects.toThrow(/, what attention key-sketch keeps of them \d+ MiB, work space/);
});

test("a policy of a request that the context leaves no room for fails alone, and says how to open", async () => {
  const engine = await open(BYTES, { attention: "full" });
  const failing = generate(engine, KEY_SKETCH);
  await expect(failing).rejects.toThrow(OutOfMemoryError);
  await expect(failing).rejects.toThrow(/^attention key-sketch: .* open the engine with this attention/);
  expect((await generate(engine, "full")).tokenIds).toHaveLength(4);
});

test("a policy that is impossible fails the opening before a backend is there", async () => {
  const missing = open(MIB, { attention: "seer-attention-r:gate=test/golden/hf" });
  await expect(missing).rejects.not.toBeInstanceOf(BackendError);
  await expect(open(MIB, { attention: "key-sketch:dense-layers=11" })).rejects.toThrow(ConfigError);
  await expect(open(MIB, { attention: "full" })).rejects.toThrow(BackendError);
});
