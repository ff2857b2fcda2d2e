/** A server with the bundled model, the same model here, and what tests of both ask. */
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type EndpointOptions, openEndpointSolver } from "../../eval/endpoint/open-endpoint.ts";
import { openEngineSolver } from "../../eval/run/engine-solver.ts";
import type { SolveRequest, Solver } from "../../eval/run/solver.ts";
import { type Engine, openEngine } from "../../src/node/index.ts";
import { EngineServer, MODEL, type ServerWays } from "./engine-server.ts";

const QUESTION = "Find qw. Arithmetic is modulo 100.\nio=26\nab=io-9\nqw=ab+7";
export const request = (given: Partial<SolveRequest> = {}): SolveRequest => ({
  messages: [{ role: "user", content: QUESTION }],
  sampling: { temperature: 0 },
  seed: 1,
  method: { label: MODEL },
  ...given,
});

let engine: Engine;
export let local: Solver;
beforeAll(async () => {
  engine = await openEngine({ threads: 1 });
  local = await openEngineSolver({ threads: 1 });
});
afterAll(async () => {
  await local.close();
  await engine.close();
});

/** The server of the test that runs. */
export let server: EngineServer;
const opened: Solver[] = [];
beforeEach(async () => {
  server = await EngineServer.start(engine);
});
afterEach(async () => {
  for (const solver of opened.splice(0)) await solver.close();
  server.close();
});

export async function open(given: Partial<EndpointOptions> = {}, ways: ServerWays = {}) {
  server.ways = ways;
  const solver = await openEndpointSolver({
    ...{ endpoint: server.url, servedModel: MODEL, retry: { pauseMs: 5, attempts: 4 } },
    ...given,
  });
  opened.push(solver);
  return solver;
}
