/** An engine behind the messages of a worker, both ends on this thread, so that its profile has the work of both. */
import type { Engine } from "../../src/node/index.ts";
import { channelOf, type GenerationEngine, openRemote, serveEngine } from "../../src/node/internal.ts";

export async function overMessages(engine: GenerationEngine): Promise<Pick<Engine, "generate" | "close">> {
  const { port1, port2 } = new MessageChannel();
  serveEngine(channelOf(port2), async () => ({ engine }));
  return openRemote(
    { channel: channelOf(port1), onEnd: () => {}, terminate: () => port1.close() },
    { options: {}, isOtherThread: false },
  );
}
