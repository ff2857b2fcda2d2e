import { expect, test } from "vitest";
import { readBackend, readTask } from "./options.ts";

test.each([
  ["backend", readBackend, "wasm", "cpu", 'unknown backend "cpu"; known are auto, webgpu, wasm, reference'],
  ["task", readTask, "graph", "maths", 'unknown task "maths"; known are registers, variables, graph'],
] as const)("an unknown %s is an error that lists the known ones", (_, read, known, unknown, message) => {
  expect(read(known)).toBe(known);
  expect(() => read(unknown)).toThrow(new RangeError(message));
});
