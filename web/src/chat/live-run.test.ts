import { expect, test } from "vitest";
import { LiveRun } from "./live-run.ts";

const nothing = { reasoning: "", answer: "", tokenIds: [] };
const part = (kind: "reasoning" | "answer", text: string, ...tokenIds: number[]) => ({
  kind,
  text,
  tokenIds,
});

function manual() {
  const due: (() => void)[] = [];
  return {
    frame: (callback: () => void) => void due.push(callback),
    run: () => {
      for (const one of due.splice(0)) one();
    },
    due,
  };
}

test("many parts change the page once in a frame", () => {
  const frames = manual();
  const live = new LiveRun("m", nothing, frames.frame);
  for (let i = 0; i < 100; i++) live.add(part("reasoning", "x", i));
  expect(frames.due).toHaveLength(1);
  expect(live.version.value).toBe(0);
  frames.run();
  expect(live.version.value).toBe(1);
  expect(live.reasoning).toHaveLength(100);
  expect(live.phase.value).toBe("thinking");
});

test("tokens of markers are kept in their place", () => {
  const live = new LiveRun("m", nothing, manual().frame);
  live.add(part("reasoning", "a", 1));
  live.add({ ...part("answer", "b", 4), markerTokenIds: [2, 3] });
  expect(live.tokenIds).toEqual([1, 2, 3, 4]);
  expect(live).toMatchObject({ reasoning: "a", answer: "b" });
});

test("after a lost device the text stays as it was until the replay has caught up", () => {
  const live = new LiveRun("m", nothing, manual().frame);
  live.add(part("reasoning", "one ", 1));
  live.add(part("reasoning", "two ", 2));
  live.restart();
  expect(live.reasoning).toBe("one two ");
  expect(live.numKnown).toBe(2);
  live.add(part("reasoning", "one ", 1));
  expect(live.reasoning).toBe("one two ");
  live.restart(); // lost again, before it had caught up
  expect(live.numKnown).toBe(2);
  live.add(part("reasoning", "one two ", 1, 2));
  live.add(part("reasoning", "three", 3));
  expect(live.reasoning).toBe("one two three");
  expect(live.tokenIds).toEqual([1, 2, 3]);
});

test("after a reload a run shows what was saved", () => {
  const live = new LiveRun("m", { reasoning: "saved", answer: "", tokenIds: [7, 8] }, manual().frame);
  expect(live.reasoning).toBe("saved");
  expect(live.tokenIds).toEqual([7, 8]);
});
