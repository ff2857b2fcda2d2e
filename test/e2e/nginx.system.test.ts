/** Two servers behind deploy/nginx.conf: conversations stay with one, and a server that dies loses only what it had begun to say. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type LocalNginx, startNginx } from "../../scripts/local-nginx.mjs";
import { repositoryPath } from "../golden/open-fixture.ts";
import { golden, problem } from "./command-line.ts";
import { ServeProcess } from "./serve-process.ts";

const WAIT_MS = 60_000;
let servers: ServeProcess[] = [];
let nginx: LocalNginx | undefined;
let url = "";

beforeAll(async () => {
  const args = ["--threads", "1", "--max-concurrent", "2", "--context-length", "1024", "--served-model", "m"];
  servers = await Promise.all([ServeProcess.start(args), ServeProcess.start(args)]);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const http = readFileSync(repositoryPath("deploy/nginx.conf"), "utf8")
    .replace("127.0.0.1:8001", `127.0.0.1:${servers[0]?.port}`)
    .replace("127.0.0.1:8002", `127.0.0.1:${servers[1]?.port}`)
    .replace("listen 127.0.0.1:8000", `listen 127.0.0.1:${port}`);
  nginx = await startNginx(http, `${url}/ready`);
}, WAIT_MS);

afterAll(async () => {
  await nginx?.stop();
  for (const server of servers) await server.stop();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** A streamed answer on its way. */
class Stream {
  /** Pieces of the network, in the order in which they came. */
  readonly pieces: string[] = [];
  /** Of the response, from when its headers have come. */
  status: number | undefined;
  readonly done: Promise<"whole" | "broken">;

  constructor(conversation: string) {
    this.done = this.#run(conversation).catch(() => "broken" as const);
  }

  get text(): string {
    return this.pieces.join("");
  }

  async #run(conversation: string): Promise<"whole" | "broken"> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-conversation-id": conversation },
      body: JSON.stringify({
        ...{ model: "m", stream: true, temperature: 0 },
        messages: [{ role: "user", content: problem }],
      }),
      signal: AbortSignal.timeout(WAIT_MS),
    });
    this.status = response.status;
    expect(response.status).toBe(200);
    const decoder = new TextDecoder();
    for await (const piece of response.body ?? []) this.pieces.push(decoder.decode(piece, { stream: true }));
    return this.text.endsWith("data: [DONE]\n\n") ? "whole" : "broken";
  }

  /** Reasoning and answer, as the events have them. */
  get said(): string {
    const deltas = this.text
      .split("\n\n")
      .filter((event) => event.startsWith("data: {"))
      .map((event) => JSON.parse(event.slice("data: ".length)).choices[0]?.delta ?? {});
    return deltas.map((delta) => (delta.reasoning ?? "") + (delta.content ?? "")).join("");
  }
}

const counts = () => Promise.all(servers.map((server) => server.metric("prompt_tokens_total")));

it(
  "keeps a conversation at one server, and streams without buffering",
  async () => {
    for (const conversation of ["a", "b", "c"]) {
      const before = await counts();
      const first = new Stream(conversation);
      expect(await first.done).toBe("whole");
      expect(await new Stream(conversation).done).toBe("whole");
      const after = await counts();
      expect(after.filter((count, i) => count > (before[i] ?? 0))).toHaveLength(1);
      expect(first.said).toContain(`\\boxed{${golden.answer}}`);
      expect(first.pieces.length).toBeGreaterThan(10);
    }
  },
  WAIT_MS,
);

it(
  "asks the other server where one is killed, unless a part of the answer was streamed",
  async () => {
    const [victim] = servers;
    const streams = Array.from({ length: 16 }, (_, i) => new Stream(`conversation ${i}`));
    const end = performance.now() + WAIT_MS;
    const runs = async () => ((await victim?.metric("num_requests_waiting")) ?? 0) > 1;
    while (!(await runs())) {
      if (performance.now() > end)
        throw new Error("no request ever waited at the server that is to be killed");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    victim?.signal("SIGKILL");
    const ends = await Promise.all(streams.map(({ done }) => done));
    const broken = streams.filter((_, i) => ends[i] === "broken");
    // What the victim was saying breaks off, and nothing of another answer follows it: at most its two places.
    expect(broken.length).toBeLessThanOrEqual(2);
    // nginx had passed on at least the headers of each, whether or not they had come here when the server was killed.
    for (const stream of broken)
      expect([stream.status, stream.text.includes("[DONE]")]).toEqual([200, false]);
    for (const [i, stream] of streams.entries())
      if (ends[i] === "whole") expect(stream.said).toContain(`\\boxed{${golden.answer}}`);
    expect(nginx?.log()).toMatch(/upstream/); // Some were asked again.
    // From here on all go to the one that is left.
    const later = Array.from({ length: 6 }, (_, i) => new Stream(`conversation ${i}`));
    expect(await Promise.all(later.map(({ done }) => done))).toEqual(Array(6).fill("whole"));
  },
  2 * WAIT_MS,
);
