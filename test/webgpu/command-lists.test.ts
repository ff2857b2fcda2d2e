/** Command lists are bounded in number, those of nodes that an op keeps for itself included. */
import { expect, it } from "vitest";
import { contextOf } from "../../src/backend/webgpu/bench-access.ts";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { MAX_COMMAND_LISTS } from "../../src/backend/webgpu/recorder.ts";
import { sizesOf } from "../sizes.ts";
import { openNullGpu } from "./null-gpu.ts";

const { gpu } = await openNullGpu();

it.skipIf(gpu === undefined)("no more are kept than the limit says, and what is over it goes", async () => {
  const adapter = (await gpu?.requestAdapter()) as GPUAdapter;
  const backend = await webGpuFactory(adapter)(...sizesOf());
  const { recorder } = contextOf(backend);
  const root = recorder.newCommandLists();
  let key = 1;
  const kept = root.at(0).at(0);
  /** Lists recorded after the one of `kept` until that goes. */
  const lifetime = () => {
    recorder.keep(kept, () => {});
    let count = 0;
    while (recorder.replay(kept) && count < 2 * MAX_COMMAND_LISTS) {
      recorder.keep(root.at(key++), () => {});
      count++;
    }
    return count;
  };
  // from the second round on `kept` is no longer under the root, and the list that was over the limit is there before it
  expect([lifetime(), lifetime(), lifetime()]).toEqual([
    MAX_COMMAND_LISTS,
    MAX_COMMAND_LISTS - 1,
    MAX_COMMAND_LISTS - 1,
  ]);
  // a list that takes the place of another one is none more
  const [first, again] = [root.at(1), root.at(2)];
  recorder.keep(first, () => {});
  for (let i = 0; i < 2 * MAX_COMMAND_LISTS; i++) recorder.keep(again, () => {});
  expect(recorder.replay(first)).toBe(true);
  await backend.close();
});
