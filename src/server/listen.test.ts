/** Connections that stay half open, on a real socket. */
import { connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { InferenceServer } from "./app.ts";
import { type Listening, listen } from "./listen.ts";

const logged: string[] = [];
let listening: Listening | undefined;
afterEach(async () => {
  await listening?.close(0);
  listening = undefined;
});

/** Sends a text and nothing more, and resolves with what comes before the server ends the connection. */
async function sendHalf(text: string): Promise<string> {
  const { port } = new URL(listening?.url ?? "");
  const socket = connect({ port: Number(port), host: "127.0.0.1" });
  socket.write(text);
  let received = "";
  socket.on("data", (bytes) => {
    received += String(bytes);
  });
  socket.on("error", () => {}); // a reset ends it as well
  const timer = setTimeout(() => socket.destroy(new Error("still open")), 30_000);
  await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(timer);
  return received;
}

it.each([
  ["whose headers never end", "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nX-A:"],
  [
    "whose body never ends",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
  ],
  [
    "whose chunks never end",
    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
  ],
])("a request %s is ended with 408 after the limit, without a word in the log", async (_, text) => {
  const server = new InferenceServer({ modelName: "none", log: (line) => logged.push(line) });
  listening = await listen(server.fetch, {
    host: "127.0.0.1",
    port: 0,
    headersTimeoutMs: 50,
    bodyTimeoutMs: 100,
  });
  expect(await sendHalf(text)).toMatch(/^HTTP\/1\.1 408 [\s\S]*"the request took too long to arrive"/);
  expect(logged).toEqual([]);
  const response = await fetch(`${listening.url}/health`);
  expect(response.status).toBe(200);
  await response.text();
});
