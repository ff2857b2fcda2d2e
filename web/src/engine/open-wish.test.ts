import { expect, test } from "vitest";
import { type Attempt, attemptsFor, BACKEND_WISHES, openFirst } from "./open-wish.ts";

const isOfBackend = (error: unknown) => error instanceof TypeError;

test.each(BACKEND_WISHES)("%s ends with one thread of WebAssembly", (wish) => {
  expect(attemptsFor(wish).at(-1)).toEqual({ backend: "wasm", threads: 1 });
});

test("the first attempt that opens is taken, and the reasons of those before it are kept", async () => {
  const open = async (attempt: Attempt) => {
    if (attempt.backend === "webgpu") throw new TypeError("no adapter");
    return attempt;
  };
  const { opened, failed } = await openFirst(attemptsFor("webgpu"), open, isOfBackend);
  expect(opened).toEqual({ backend: "wasm" });
  expect(failed).toEqual([{ attempt: { backend: "webgpu" }, reason: "no adapter" }]);
});

test("an error that is none of the backend's ends the attempts, and the last error is thrown", async () => {
  const tried: Attempt[] = [];
  const missing = async (attempt: Attempt) => {
    tried.push(attempt);
    throw new RangeError("no such model");
  };
  await expect(openFirst(attemptsFor("auto"), missing, isOfBackend)).rejects.toThrow("no such model");
  expect(tried).toHaveLength(1);
  const broken = async ({ threads }: Attempt) => {
    throw new TypeError(threads === 1 ? "the last" : "an earlier");
  };
  await expect(openFirst(attemptsFor("auto"), broken, isOfBackend)).rejects.toThrow("the last");
});
