/** A tiny engine and its proxy, and the requests that tests of both make. */
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import type { Generation, GenerationRequest } from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny, type TinyOptions } from "../engine/tiny-engine.ts";
import { type InThread, openInThread } from "./in-thread.ts";

const [{ open }] = BACKENDS;
export const ids: readonly number[] = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
export const base: GenerationRequest = { tokenIds: ids.slice(0, 8), maxTokens: 9, temperature: 0 };
/** Longer than the proxy and the engine generate ahead of a consumer. */
export const long: GenerationRequest = { ...base, maxTokens: 300, temperature: 1, seed: 9 };
export const LARGE = { maxSequenceLength: 384, maxPages: 96 };
export const SPARSE = "streaming-llm:budget=8,sinks=2";

const opened: { close(): Promise<void> }[] = [];

export function closeLater(...engines: readonly { close(): Promise<void> }[]): void {
  opened.push(...engines);
}

export async function closeAll(): Promise<void> {
  for (const engine of opened.splice(0)) await engine.close();
}

export interface Both extends InThread {
  readonly direct: GenerationEngine;
  /** The generations of `direct` behind those of the proxy. */
  readonly inner: Generation[];
}

export async function openBoth(options: TinyOptions = { sizes: LARGE }): Promise<Both> {
  const direct = await openTiny(open, options);
  const inner: Generation[] = [];
  const engine: LoadedEngine = new Proxy(direct, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = value.apply(target, args);
        if (key === "generate") inner.push(result as Generation);
        return result;
      };
    },
  });
  const remote = await openInThread(async () => ({ engine }));
  closeLater(remote.engine, direct);
  return { ...remote, direct, inner };
}
