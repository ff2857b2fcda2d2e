/** The script of the engine's worker in browsers. */
import { channelOf } from "../worker/protocol.ts";
import { serveEngine } from "../worker/serve-engine.ts";
import { type BrowserEngineOptions, openEngineWithHooks } from "./open-engine.ts";
import type { WorkerStart } from "./worker.ts";

interface Given extends BrowserEngineOptions {
  readonly baseUrl: string;
}

globalThis.onmessage = ({ data: { port, lock } }: MessageEvent<WorkerStart>) => {
  const serve = () =>
    serveEngine(channelOf(port), async (options, { onTokenizer, onDownload }) => {
      const { baseUrl, ...rest } = options as Given; // the page has checked them
      return { engine: await openEngineWithHooks({ ...rest, onDownload }, { onTokenizer, baseUrl }) };
    });
  if (lock === undefined) return serve();
  // held until this worker ends, which the page notices by getting it
  void globalThis.navigator.locks.request(lock, () => {
    serve();
    return new Promise(() => {});
  });
};
