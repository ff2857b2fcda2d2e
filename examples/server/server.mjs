// OpenAI's API over an engine of this program: PORT=8000 node server.mjs
import { InferenceServer, listen } from "lessismore/server";
import { openEngineInWorker } from "lessismore/worker";

const engine = await openEngineInWorker({ attention: "less-is-more:budget=256" });
const server = new InferenceServer({ modelName: "pico-reasoner" });
server.serve(engine);
const listening = await listen(server.fetch, { host: "127.0.0.1", port: Number(process.env.PORT ?? 8000) });
console.log(`${listening.url}/v1`);
process.once("SIGTERM", async () => {
  await server.drain(30_000); // milliseconds for running requests
  await listening.close(2_000);
  await engine.close();
});
