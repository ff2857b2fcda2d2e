/** What the tests of a self-test of ops share: a right backend passes on every kind, and each broken op is found by name. */
import { expect, it, test } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { ALLOWED_ERROR } from "../../src/backend/backend-kind.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import type { SelfTestRow } from "../../src/machine/self-test-numbers.ts";
import { SMALL_CAPACITY, SMALL_LAYER } from "../../src/machine/small-layer.ts";
import { referenceFor, SELF_TEST_LAYERS } from "../../src/machine/test-candidate.ts";
import { BACKENDS_AND_ROUNDED } from "../conformance/backend-table.ts";

/** SwiftShader compiles the kernels for seconds of a core, which it may have to share. */
const COMPILING_MS = 120_000;

export interface OpTest {
  readonly layer: (typeof SELF_TEST_LAYERS)[number];
  readonly run: (tested: Backend, reference: Backend, allowed: number) => Promise<readonly SelfTestRow[]>;
  readonly numRows: number;
  /** Name, members that replace those of a right backend, and the rows that find them. */
  readonly broken: readonly [
    name: string,
    change: (right: Backend) => Partial<Backend>,
    found: readonly string[],
  ][];
}

/** Defines the tests. */
export function testsOfOps({ layer, run, numRows, broken }: OpTest): void {
  async function wrongOps(tested: Backend): Promise<readonly string[]> {
    const rows = await run(tested, await referenceFor(tested, layer), ALLOWED_ERROR[tested.cacheDtype]);
    expect(rows).toHaveLength(numRows);
    return rows.filter(({ isRight }) => !isRight).map(({ op }) => op);
  }

  test.each(BACKENDS_AND_ROUNDED)(
    `$name: every op of ${layer} within its bound`,
    async ({ open }) => {
      const backend = await open(SMALL_LAYER, SMALL_CAPACITY);
      expect(await wrongOps(backend)).toEqual([]);
      await backend.close();
    },
    COMPILING_MS,
  );

  it.each(broken)("finds %s", async (_, change, expected) => {
    const right = await withAllPages(createReferenceBackend)(SMALL_LAYER, SMALL_CAPACITY);
    const changed = change(right);
    const proxy = new Proxy(right, {
      get(target, key) {
        const value: unknown = Reflect.get(changed, key) ?? Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    expect(await wrongOps(proxy)).toEqual(expected);
  });

  it("is run by doctor", () => {
    expect(SELF_TEST_LAYERS).toContain(layer);
  });
}
