import { expect, test } from "vitest";
import { HttpReader } from "./http-reader.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A server whose body has pieces of these bytes, with a pause before each. */
const serving = (pieces: readonly number[], pauseMs: number) => async (): Promise<Response> => {
  const left = [...pieces];
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const next = left.shift();
    if (next === undefined) return controller.close();
    await sleep(pauseMs);
    controller.enqueue(new Uint8Array(next));
  };
  return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
};

test("a reader that takes longer than the limit over each piece is no stalled server", async () => {
  const response = await new HttpReader(serving([2000, 2000, 2000], 0), 100).request(
    "http://a/",
    {},
    undefined,
  );
  let length = 0;
  for await (const chunk of response.chunks()) {
    length += chunk.length;
    await sleep(250); // A slow disk.
  }
  response.cancel();
  expect(length).toBe(6000);
});

test("a server that sends a byte now and then ends, with what came", async () => {
  const reader = new HttpReader(serving(Array<number>(1000).fill(1), 40), 200);
  const response = await reader.request("http://a/", {}, undefined);
  const reading = async () => {
    for await (const _ of response.chunks());
  };
  const startedAt = performance.now();
  await expect(reading()).rejects.toThrow(
    /fetching http:\/\/a\/: only \d bytes came in 0.2 s .*check the network/,
  );
  expect(performance.now() - startedAt).toBeLessThan(2000);
  response.cancel();
});

test("a slow server above the least rate is read to its end", async () => {
  const reader = new HttpReader(serving(Array<number>(20).fill(200), 40), 200);
  const response = await reader.request("http://a/", {}, undefined);
  expect((await response.bytes(10_000)).length).toBe(4000);
  response.cancel();
});
