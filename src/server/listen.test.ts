/** Connections that stay half open, on a real socket. */
import { connect, type Socket } from "node:net";
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

it("bodies that never end hold the memory of 16 of the largest, and no more; it comes back when they leave", async () => {
  const server = new InferenceServer({
    modelName: "none",
    maxBodyBytes: 100_000,
    log: (line) => logged.push(line),
  });
  listening = await listen(server.fetch, { host: "127.0.0.1", port: 0 });
  const { port } = new URL(listening.url);
  const head = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  const sockets: Socket[] = [];
  const answers: string[] = [];
  for (let i = 0; i < 24; i++) {
    const socket = connect({ port: Number(port), host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.on("data", (bytes) => answers.push(String(bytes)));
    socket.write(`${head}Content-Length: 99000\r\n\r\n{${" ".repeat(90_000)}`);
    sockets.push(socket);
  }
  const ask = async () => {
    const init = { method: "POST", headers: { "Content-Type": "application/json" } };
    const response = await fetch(`${listening?.url}/tokenize`, {
      ...init,
      body: `{"prompt":"${"a".repeat(80_000)}"}`,
    });
    return { after: response.headers.get("retry-after"), ...(await response.json()).error };
  };
  const until = async (condition: () => boolean | Promise<boolean>) => {
    for (const end = Date.now() + 30_000; !(await condition()); )
      if (Date.now() > end) throw new Error(`never: ${String(condition)}`);
      else await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await until(() => answers.join().split("server_busy").length > 24 - 17);
  await until(async () => (await ask()).code === "server_busy");
  expect((await ask()).after).toBe("1");
  expect((await fetch(`${listening.url}/health`)).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  await until(async () => (await ask()).code === "model_loading"); // the body was read; there is no engine
  expect(logged).toEqual([]);
});
