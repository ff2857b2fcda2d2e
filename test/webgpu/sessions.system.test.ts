/** Sessions on WebGPU, where the cache has other layouts and steps run ahead. Kernels of so many policies take minutes to compile. */
import { afterEach, describe, test } from "vitest";
import { CACHE_BACKENDS } from "../conformance/backend-table.ts";
import { closeAll, expectSameTurn, QUEST, SEER } from "../engine/session-engines.ts";

afterEach(closeAll);

const rows = CACHE_BACKENDS.filter(({ name }) => name.startsWith("webgpu"));

describe.each(rows)("$name", ({ open }) => {
  test.each(["full", QUEST, SEER])("a turn after loading gives the same tokens: %s", async (attention) => {
    await expectSameTurn(open, attention, true);
  });
});
