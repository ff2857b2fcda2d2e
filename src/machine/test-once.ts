import type { TestedDevice } from "../backend/backend-kind.ts";
import type { SelfTest } from "./test-candidate.ts";

/** Self-tests of this process, by the source of the device: a GPU does not change while a process runs. */
const TESTED = new WeakMap<object, Map<string, Promise<SelfTest>>>();

/**
 * Runs the self-test of a device once in a process. Two equal cards come from two sources, so both are tested.
 * A test that could not be run is run again the next time.
 */
export function testOnce(
  { source, key }: Pick<TestedDevice, "source" | "key">,
  run: () => Promise<SelfTest>,
): Promise<SelfTest> {
  const tests = TESTED.get(source) ?? new Map<string, Promise<SelfTest>>();
  TESTED.set(source, tests);
  const known = tests.get(key);
  if (known) return known;
  const test = run();
  tests.set(key, test);
  test.catch(() => tests.delete(key));
  return test;
}
