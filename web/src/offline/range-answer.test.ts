import { expect, test } from "vitest";
import { answerRange } from "./range-answer.ts";

const whole = () => new Response("0123456789", { headers: { etag: '"a"', "content-length": "10" } });

test.each([
  ["bytes=0-3", 206, "0123", "bytes 0-3/10", "4"],
  ["bytes=4-", 206, "456789", "bytes 4-9/10", "6"],
  ["bytes=8-99", 206, "89", "bytes 8-9/10", "2"],
  ["bytes=10-12", 416, "", "bytes */10", "0"],
])("%s is answered with %i", async (range, status, text, contentRange, length) => {
  const answer = await answerRange(whole(), range);
  expect(answer.status).toBe(status);
  expect(answer.headers.get("content-range")).toBe(contentRange);
  expect(answer.headers.get("content-length")).toBe(length);
  expect(answer.headers.get("etag")).toBe('"a"');
  expect(await answer.text()).toBe(text);
});

test.each([null, "bytes=-4", "bytes=0-1,3-4", "lines=1-2"])("%s gets the whole", async (range) => {
  const answer = await answerRange(whole(), range);
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe("0123456789");
});
