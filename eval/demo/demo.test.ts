import { expect, it } from "vitest";
import { listCurves, plotCurves } from "./plot.ts";
import { ratioAtEnd, TokenTimes } from "./token-times.ts";

/** Times of a generation after a prompt of 200 tokens whose token takes `slope` ms more per 256 tokens cached. */
function timesOf(tokens: number, slope: number): TokenTimes {
  const times = new TokenTimes(200);
  let now = 0;
  for (let i = 0; i < tokens; i++) {
    now += 1 + slope * Math.floor((200 + i) / 256);
    times.note(1, now);
  }
  return times;
}

it("a stretch has the median of its tokens; the first token and short stretches have no time", () => {
  const times = timesOf(600, 1);
  times.note(1, 1e9); // a pause of the machine
  expect(times.stretches()).toEqual([
    { position: 256, msPerToken: 1 },
    { position: 512, msPerToken: 2 },
    { position: 768, msPerToken: 3 },
    { position: 1024, msPerToken: 4 },
  ]);
  expect(timesOf(20, 1).stretches()).toEqual([]);
});

it("the ratio is of the last stretch that both have", () => {
  const [slow, fast] = [timesOf(1000, 2).stretches(), timesOf(600, 1).stretches()];
  expect(ratioAtEnd(slow, fast)).toEqual({ position: 1024, ratio: 7 / 4 });
  expect(ratioAtEnd(slow, [])).toBeUndefined();
});

it("draws both curves from zero up, the larger one on top", () => {
  const curves = [
    { name: "full", mark: "F", stretches: timesOf(800, 1).stretches() },
    { name: "sparse", mark: "s", stretches: timesOf(800, 0).stretches() },
  ];
  const lines = plotCurves(curves).split("\n");
  expect(lines[0]).toBe("ms a token: F full   s sparse");
  const columnOf = (line: string, mark: string) => line.indexOf(mark);
  // Full attention rises from 1 to 4 ms over four stretches, its last point in the top row.
  expect(columnOf(lines[1] ?? "", "F")).toBe(8 + 3 * 3 + 2);
  const low = lines.find((line) => line.includes("s") && line.includes("┤")) ?? "";
  expect(low.slice(low.indexOf("┤") + 1)).toBe("  s  s  s  s");
  expect(lines.at(-1)).toContain("1024");
  const rows = listCurves(curves).split("\n");
  expect(rows[0]).toBe("ms a token: tokens cached, full, sparse");
  expect(rows[4]).toBe("  1024  4.00  1.00");
  expect(plotCurves([])).toBe("");
});
