/** A server whose model leaves memory while nobody asks, and comes back. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { answer, clientOf, greedy } from "./serve-client.ts";
import { ServeProcess } from "./serve-process.ts";

let server: ServeProcess;
beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full", "--unload-after", "0.01"]);
});
afterAll(() => server.stop());

async function unloaded(): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; ) {
    if ((await server.metric("kv_cache_pages_total")) === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the model is still in memory after 30 s without a request");
}

it("answers as before after each time in which nobody asked, and is ready all the time", async () => {
  const client = clientOf(server.url);
  for (let round = 0; round < 2; round++) {
    await unloaded();
    expect((await fetch(`${server.origin}/ready`)).status).toBe(200);
    const [one, other] = await Promise.all([0, 1].map(() => client.chat.completions.create(greedy)));
    expect(one?.choices[0]?.message.content).toContain(answer);
    expect(other?.choices[0]?.message.content).toBe(one?.choices[0]?.message.content);
  }
  expect(server.stderr).toMatch(/unloaded the model after 0.0 min without a request/);
  server.signal("SIGTERM");
  expect(await server.exit()).toEqual({ code: 0, signal: null });
});
