import { expect, test } from "vitest";
import { readBackend, readCacheDtype, readDtype, readTask } from "./options.ts";

test.each([
  ["precision of the weights", readDtype, "q8", "int8", 'unknown dtype "int8"; known are auto, own, q8, q4'],
  [
    "storage type of the cache",
    readCacheDtype,
    "q8",
    "q4",
    'unknown cache dtype "q4"; known are f16, f32, q8',
  ],
  ["backend", readBackend, "wasm", "cpu", 'unknown backend "cpu"; known are auto, webgpu, wasm, reference'],
  ["task", readTask, "graph", "maths", 'unknown task "maths"; known are registers, variables, graph'],
] as const)("an unknown %s is an error that lists the known ones", (_, read, known, unknown, message) => {
  expect(read(known)).toBe(known);
  expect(() => read(unknown)).toThrow(new RangeError(message));
});
