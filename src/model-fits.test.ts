import { expect, test } from "vitest";
import { repositoryPath } from "../test/golden/open-fixture.ts";
import { fitCheckpoint } from "./node/index.ts";

const PICO = repositoryPath("models/pico-reasoner");
const wasm = async (contextLength?: number) => {
  const fits = await fitCheckpoint(PICO, { contextLength });
  return fits.find(({ backend }) => backend === "wasm");
};

test("a model is fitted for the context that is asked for", async () => {
  const [whole, short] = [await wasm(), await wasm(1024)];
  if (!whole || !short || !("memory" in whole) || !("memory" in short)) throw new Error("it fits");
  expect(short.contextLength).toBe(1024);
  expect(whole.contextLength).toBeGreaterThan(1024);
  expect(short.memory.cacheBytes).toBeLessThan(whole.memory.cacheBytes);
});

test("a context that the model was not made for is refused", async () => {
  await expect(wasm(10_000_000)).rejects.toThrow(/more than the .* positions the model was made for/);
});
