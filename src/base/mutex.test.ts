import { expect, test } from "vitest";
import { Mutex } from "./mutex.ts";

test("works run one at a time, in order of their calls, past one that fails", async () => {
  const mutex = new Mutex();
  const events: string[] = [];
  const work = (name: string, turns: number) => async () => {
    events.push(`${name} begins`);
    for (let i = 0; i < turns; i++) await Promise.resolve();
    events.push(`${name} ends`);
    if (name === "b") throw new Error("b failed");
    return name;
  };
  const all = [mutex.run(work("a", 5)), mutex.run(work("b", 1)), mutex.run(work("c", 3))];
  const late = all[0]?.then(() => mutex.run(work("d", 1)));
  const outcomes = await Promise.allSettled([...all, late]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  expect(events).toEqual(["a", "b", "c", "d"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});
