/** The script of the engine's worker in Node. */
import { fileURLToPath } from "node:url";
import { workerData } from "node:worker_threads";
import type { AttentionPolicy } from "../attention/policy.ts";
import { ConfigError } from "../base/errors.ts";
import type { PolicyOf } from "../worker/hosted-engine.ts";
import { channelOf } from "../worker/protocol.ts";
import { serveEngine } from "../worker/serve-engine.ts";
import { type NodeEngineOptions, openEngineWithHooks } from "./open-engine.ts";
import { loadPolicyFile } from "./policy-file.ts";

/** Specs whose policies are kept, so that requests with the same spec share one. */
const MAX_KEPT = 32;

interface Given extends NodeEngineOptions {
  readonly policies?: Readonly<Record<string, string>>;
}

const { port }: { readonly port: MessagePort } = workerData;

serveEngine(channelOf(port), async (options, { onTokenizer, onDownload }) => {
  const { policies = {}, ...rest } = options as Given; // `openEngineInWorker` has checked them
  const policyOf = loaderOf(policies);
  const { attention } = rest;
  const own = typeof attention === "string" ? await policyOf(attention) : undefined;
  const given = { ...rest, onDownload, ...(own && { attention: own }) };
  return { engine: await openEngineWithHooks(given, { onTokenizer }), policyOf };
});

/** Loads the policies of modules by the specs that name them. */
function loaderOf(policies: Readonly<Record<string, string>>): PolicyOf {
  const kept = new Map<string, Promise<AttentionPolicy>>();
  return (spec) => {
    const [name = ""] = spec.split(":", 1);
    const module = Object.hasOwn(policies, name) ? policies[name] : undefined;
    if (module === undefined) return undefined;
    const loading = kept.get(spec) ?? load(module, spec.slice(name.length));
    kept.delete(spec);
    kept.set(spec, loading);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
    return loading;
  };
}

/** settings: nothing, or `:key=value,…` */
async function load(module: string, settings: string): Promise<AttentionPolicy> {
  const path = /^file:/i.test(module) ? fileOf(module) : module;
  return (await loadPolicyFile(`${path}${settings}`)).policy;
}

function fileOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new ConfigError(`policies: "${url}" is no URL of a file: ${String(cause)}`, { cause });
  }
}
