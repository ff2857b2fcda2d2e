/** The programs of examples/ for Node on the installed package. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InstalledPackage } from "./installed-package.ts";

const PROBLEM = "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7";
const ANSWER = "The answer is \\boxed{33}.";

let installed: InstalledPackage;
beforeAll(() => {
  installed = new InstalledPackage();
});
afterAll(() => installed?.remove());

describe("an example for Node", () => {
  it("node-script streams the reasoning, then prints the answer and what was attended", () => {
    installed.copy("examples/node-script", "script");
    const { status, stdout, stderr } = installed.node(["script/solve.mjs"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain("qw=io+7=26+7=33");
    expect(stdout).toMatch(/\n\nThe answer is \\boxed\{33\}\.\n\d+ tokens, \d+ % of the cache attended\n$/);
    const wrong = installed.node(["script/solve.mjs", "./no-such-folder"]);
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toContain("ModelFileError");
  });

  it("server answers in OpenAI's form, and ends with 0 on SIGTERM", async () => {
    installed.copy("examples/server", "server");
    const server = spawn(process.execPath, ["server/server.mjs"], {
      cwd: installed.project,
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const ended = new Promise((resolve) => server.once("exit", resolve));
      const url = await firstLine(server.stdout);
      const response = await fetch(`${url}/chat/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ messages: [{ role: "user", content: PROBLEM }], temperature: 0 }),
        signal: AbortSignal.timeout(60_000),
      });
      const { choices } = await response.json();
      expect(choices[0].message.content).toBe(ANSWER);
      expect(choices[0].message.reasoning_content).toContain("26+7=33");
      server.kill("SIGTERM");
      // Windows has no signals: it ends the program at once.
      expect(await ended).toBe(process.platform === "win32" ? null : 0);
    } finally {
      server.kill("SIGKILL");
    }
  });

  it("ai-sdk-route streams reasoning and text to useChat's form of messages", () => {
    installed.copy("examples/ai-sdk-route", "route");
    installed.link("ai");
    const messages = [{ id: "1", role: "user", parts: [{ type: "text", text: PROBLEM }] }];
    const program = `
      import { POST, close } from "./route/route.mjs";
      const body = ${JSON.stringify(JSON.stringify({ messages }))};
      const response = await POST(new Request("http://localhost/api/chat", { method: "POST", body }));
      const events = (await response.text()).split("\\n\\n").filter((event) => event.startsWith("data: {"));
      const parts = events.map((event) => JSON.parse(event.slice(6)));
      const join = (type) => parts.filter((part) => part.type === type).map(({ delta }) => delta).join("");
      console.log(JSON.stringify([response.headers.get("content-type"), join("reasoning-delta"), join("text-delta")]));
      await close();`;
    const { status, stdout, stderr } = installed.node(["--input-type=module", "--eval", program]);
    expect(status, stderr).toBe(0);
    const [type, reasoning, text] = JSON.parse(stdout);
    expect(type).toBe("text/event-stream");
    expect(reasoning).toContain("26+7=33");
    expect(text).toBe(ANSWER);
  });

  it("custom-policy is scored and timed beside full attention, and reads less", () => {
    installed.copy("examples/custom-policy", "policy");
    const { status, stdout, stderr } = installed.node([
      "node_modules/lessismore/dist/cli/main.js",
      ...["eval", "--tasks", "graph", "--length", "256", "--problems", "2", "--out", "results", "--json"],
      ...["--attention", "full", "--attention", "./policy/block-peaks.mjs:budget=64,layers=2+7"],
    ]);
    expect(status, stderr).toBe(0);
    const { cells } = JSON.parse(stdout);
    expect(cells[1].attention).toContain("block-peaks:budget=64");
    expect(cells[1].accuracy.value).toBeGreaterThanOrEqual(0);
    expect(cells[1].msPerToken.mean.value).toBeGreaterThan(0);
    expect(cells[1].attendedFraction.value).toBeLessThan(0.8 * cells[0].attendedFraction.value);
  });
});

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stream })) return line;
  throw new Error("the program ended and printed nothing");
}
