/** A reader that does not read, by the memory of the server. It takes the time of some megabytes of events. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { answersRight, ENDLESS, post, until } from "./fault-client.ts";
import { RawConnection } from "./raw-http.ts";
import { ServeProcess } from "./serve-process.ts";

let server: ServeProcess;
beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full", "--max-concurrent", "4"]);
});
afterAll(() => server.stop());

it("one that reads nothing pauses its answers, of which the server keeps no more than its buffers hold", async () => {
  const residentBytes = () =>
    1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]);
  const sent = () => server.metric("inter_token_latency_seconds_count");
  // an event of 20 alternatives has some 4 KB, the whole would be 80 MB
  const numEvents = 4 * 5000;
  const loud = { ...ENDLESS, n: 4, max_tokens: 5000, logprobs: true, top_logprobs: 20, thinking_budget: 0 };
  await (await post(server, { ...loud, max_tokens: 700 })).text(); // the memory of a reader that reads
  const [before, sentBefore] = [residentBytes(), await sent()];
  const deaf = await RawConnection.open(server.port);
  deaf.socket.pause();
  deaf.chat(loud);
  let [last, numStill] = [-1, 0];
  await until(async () => {
    const now = await sent();
    numStill = now === last && now > sentBefore + 200 ? numStill + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 250));
    return numStill >= 4;
  }, "the answers pause");
  expect(last - sentBefore).toBeLessThan(numEvents / 2);
  const growth = residentBytes() - before;
  process.stdout.write(
    `${last - sentBefore} of ${numEvents} events sent to a reader that reads nothing; resident memory grew by ${(growth / 1e6).toFixed(0)} MB\n`,
  );
  expect(growth).toBeLessThan(40_000_000);
  await answersRight(server); // its four choices have all places, and hold up nobody
  deaf.vanish();
  await server.idle();
});
