/** A server whose GPU is lost under load: the device is a real one, the server answers in this process so that a test can destroy it. */
import { describe, expect, it } from "vitest";
import type { BackendFactory } from "../../src/backend/backend.ts";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { BackendError } from "../../src/base/errors.ts";
import { ReopeningEngine } from "../../src/engine/reopening-engine.ts";
import { InferenceServer } from "../../src/server/app.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { countedGpu } from "../webgpu/counted-gpu.ts";
import { webgpuForTests } from "../webgpu/environment.ts";
import { openInThread } from "../worker/in-thread.ts";

const { gpu } = await webgpuForTests();
const prompt = [5, 40, 77, 3, 150];
const SHORT = { prompt, max_tokens: 6, temperature: 0, ignore_eos: true };
const LONG = { ...SHORT, max_tokens: 90, stream: true };

describe.skipIf(gpu === undefined).each(["on its thread", "behind the protocol of workers"])(
  "an engine %s",
  (place) => {
    it("whose device is lost ends what runs with an error and opens on another device; without restarts it stays failed", async () => {
      const on = countedGpu(gpu as GPU);
      let isOut = false;
      const openOn: BackendFactory = async (model, capacity) => {
        if (isOut) throw new BackendError("no adapter is left");
        return webGpuFactory((await on.gpu.requestAdapter()) as GPUAdapter, { cacheDtype: "f32" })(
          model,
          capacity,
        );
      };
      const open = async () => {
        const engine = await openTiny(openOn);
        return place === "on its thread" ? engine : (await openInThread(async () => ({ engine }))).engine;
      };
      const engine = await ReopeningEngine.start({}, open);
      const lines: string[] = [];
      const server = new InferenceServer({
        ...{ modelName: "tiny", apiKeys: [], corsOrigins: [], maxBodyBytes: 1e6, maxQueue: 8 },
        ...{ requestTimeoutMs: 60_000, maxRestarts: 2, log: (line: string) => lines.push(line) },
      });
      server.serve(engine);
      const ask = async (body: object) =>
        server.fetch(
          new Request("http://localhost/v1/completions", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          }),
        );
      const get = async (path: string) => server.fetch(new Request(`http://localhost${path}`));
      const back = async (status: number) => {
        for (const end = Date.now() + 60_000; (await get("/ready")).status !== status; )
          if (Date.now() > end) throw new Error(`/ready did not become ${status}: ${lines.join("\n")}`);
          else await new Promise((resolve) => setTimeout(resolve, 5));
      };
      try {
        const expected = (await (await ask(SHORT)).json()).choices;
        for (const isLast of [false, true]) {
          const stream = await ask(LONG);
          const waiting = ask({ ...LONG, stream: false });
          isOut = isLast;
          on.devices.at(-1)?.destroy();
          const last = (await stream.text()).trimEnd().split("\n").at(-1) ?? "";
          expect(JSON.parse(last.slice(6))).toMatchObject({
            error: { code: "backend", type: "server_error" },
          });
          expect([(await waiting).status, (await (await waiting).json()).error.code]).toEqual([
            500,
            "backend",
          ]);
          if (isLast) break;
          expect((await (await get("/ready")).json()).status).toBe("restarting");
          const meanwhile = await ask(SHORT);
          expect([meanwhile.status, meanwhile.headers.get("retry-after")]).toEqual([503, "1"]);
          expect((await meanwhile.json()).error.code).toBe("engine_restarting");
          await back(200);
          expect((await (await ask(SHORT)).json()).choices).toEqual(expected);
        }
        expect((await server.givenUp).message).toBe("no adapter is left");
        expect((await get("/health")).status).toBe(503);
        const refused = await ask(SHORT);
        expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([500, "false"]);
        expect((await refused.json()).error.code).toBe("engine_failed");
        expect(await (await get("/metrics")).text()).toMatch(/engine_restarts_total\{.*\} 2/);
        expect(lines.filter((line) => line.includes("given up"))).toHaveLength(1);
        expect(on.counts.map(({ destroyed, buffers }) => [destroyed, buffers])).toEqual([
          [true, 0],
          [true, 0],
        ]);
      } finally {
        await engine.close();
      }
    });
  },
);
