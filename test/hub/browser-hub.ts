/** Starts the hub of the browser's tests: pages cannot. Faults go by the name of the model. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { LocalHub, refuse } from "./local-hub.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The address of the hub; `/seen` there gives the requests since the last time. */
    readonly hubUrl: string;
  }
}

const PICO = join(import.meta.dirname, "../../models/pico-reasoner");

export default async function startHub(project: TestProject): Promise<() => void> {
  const names = readdirSync(PICO).filter((name) => /\.(json|jinja|safetensors)$/.test(name));
  const pico = { files: Object.fromEntries(names.map((name) => [name, readFileSync(join(PICO, name))])) };
  const big = {
    files: {
      "config.json": "{}",
      "model.safetensors": new Uint8Array(20 << 20).map((_, i) => (i >>> 10) ^ i),
    },
  };
  const hub = await LocalHub.start({ "org/pico": pico, "org/cut": big, "org/wrong": big, "org/gated": big });
  hub.fault = (request, response, { kind, repo }) => {
    if (request.url === "/seen") {
      response.end(JSON.stringify(hub.seen.splice(0).slice(0, -1)));
      return true;
    }
    if (repo === "org/gated") refuse(response, 403, "GatedRepo", "Access to model org/gated is restricted.");
    else if (kind === "store" && repo === "org/cut") cut(request.headers.range, response);
    else if (kind === "store" && repo === "org/wrong") response.end(Buffer.alloc(20 << 20));
    else return false;
    return true;
  };
  const cut = (range: string | undefined, response: Parameters<typeof refuse>[0]) => {
    const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(range ?? "") ?? [];
    const content = hub.contentOf("org/cut", "model.safetensors");
    const body = content.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, {
      "Content-Range": `bytes ${from}-${to}/${content.length}`,
      "Content-Length": body.length,
    });
    response.write(body.subarray(0, 3_000_000), () => response.destroy());
  };
  project.provide("hubUrl", hub.url);
  return () => hub.close();
}
