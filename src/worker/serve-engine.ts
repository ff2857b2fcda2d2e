/** The worker's side: opens an engine when it is told to, and serves it. */
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import type { TokenizerSource } from "../load/tokenizer-source.ts";
import { encodeError } from "./error-transfer.ts";
import { HostedEngine, type PolicyOf } from "./hosted-engine.ts";
import { type Channel, type FromEngine, PROTOCOL_VERSION, type ToEngine } from "./protocol.ts";
import { encodeTokenizer } from "./tokenizer-transfer.ts";

/** What the opening tells beside the engine. */
export interface ServedHooks {
  readonly onTokenizer: (source: TokenizerSource) => unknown;
  readonly onDownload: (progress: DownloadProgress) => void;
}

export interface ServedEngine {
  readonly engine: LoadedEngine;
  readonly policyOf?: PolicyOf | undefined;
}

/** Serves one engine at a channel. open: opens it with the options of the proxy, which it checks. */
export function serveEngine(
  channel: Channel<FromEngine, ToEngine>,
  open: (options: unknown, hooks: ServedHooks) => Promise<ServedEngine>,
): void {
  let hosted: HostedEngine | undefined;
  const start = async ({ options, unread }: Extract<ToEngine, { readonly type: "open" }>) => {
    try {
      const sources: TokenizerSource[] = [];
      const { engine, policyOf } = await open(options, {
        onTokenizer: (source) => sources.push(source),
        onDownload: (progress) => channel.send({ type: "download", progress }),
      });
      hosted = new HostedEngine(engine, channel, { unread, policyOf });
      const { chatTemplates } = engine;
      const tokenizer = encodeTokenizer(sources.at(-1) ?? { form: "none", name: engine.report().model.name });
      const transfer = tokenizer.form === "json" ? [tokenizer.bytes.buffer] : [];
      channel.send(
        {
          type: "opened",
          engine: { report: engine.report(), stats: engine.stats(), chatTemplates, tokenizer },
        },
        transfer,
      );
    } catch (error) {
      channel.send({ type: "refused", error: encodeError(error) });
    }
  };
  channel.receive((message) => {
    if (message.type === "open") void start(message);
    else hosted?.handle(message);
  });
  channel.send({ type: "ready", version: PROTOCOL_VERSION });
}
