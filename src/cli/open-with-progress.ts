import { ConfigError } from "../base/errors.ts";
import {
  bundledModelFolder,
  type DownloadProgress,
  type Engine,
  namesPolicyFile,
  openEngine,
  splitPolicyFile,
} from "../node/index.ts";
import { UsageError } from "./args.ts";
import { loadAttention } from "./attention.ts";
import type { ModelOptions } from "./commands/model-options.ts";
import { describeDownload, type ProgressLine } from "./progress.ts";

export interface OpenOptions {
  readonly attention?: string | undefined;
  readonly maxConcurrent?: number | undefined;
  readonly cacheTokens?: number | undefined;
  /** Aborts the opening. */
  readonly signal?: AbortSignal;
  /** True if the engine gets a thread of its own, so that this one stays free for requests. */
  readonly isInWorker?: boolean;
}

/** Name of a policy's file in the worker's specs. */
const FILE_POLICY = "file";

/** Opens the engine of a command line, and shows what it waits for. @throws UsageError for options that the model cannot have */
export async function openWithProgress(
  options: ModelOptions & OpenOptions,
  progress: ProgressLine,
): Promise<Engine> {
  const { backend, dtype, threads, contextLength, cacheDtype, cacheTokens, maxConcurrent, device, signal } =
    options;
  if (threads !== undefined && (backend === "webgpu" || backend === "reference"))
    throw new UsageError(`--threads is for the CPU backend "wasm", and --backend asks for ${backend}`);
  const { model = bundledModelFolder() } = options;
  let download: DownloadProgress | undefined;
  progress.show(() => (download ? describeDownload(download) : `opening ${model}`));
  const onDownload = (now: DownloadProgress) => {
    download = now.phase === "checking" && now.doneBytes >= now.totalBytes ? undefined : now;
  };
  try {
    const common = {
      ...{ model, onDownload, backend, dtype },
      ...(threads !== undefined && { threads }),
      ...(contextLength !== undefined && { contextLength }),
      ...(cacheDtype !== undefined && { cacheDtype }),
      ...(cacheTokens !== undefined && { cacheTokens }),
      ...(maxConcurrent !== undefined && { maxConcurrent }),
      ...(device !== undefined && { device }),
      ...(signal && { signal }),
    };
    const { attention } = options;
    if (options.isInWorker === true) {
      const { openEngineInWorker } = await import("../node/worker.ts");
      return await openEngineInWorker({ ...common, ...workersPolicy(attention) });
    }
    const own = attention === undefined ? {} : { attention: (await loadAttention(attention)).attention };
    return await openEngine({ ...common, ...own });
  } catch (error) {
    const asked = [contextLength, cacheTokens, threads, device, options.attention];
    throw asked.some((one) => one !== undefined) ? asUsage(error) : error;
  } finally {
    progress.erase();
  }
}

/** Names a policy for the worker, which loads the file that a spec may name by itself. */
function workersPolicy(attention: string | undefined) {
  if (attention === undefined) return {};
  const file = namesPolicyFile(attention) ? splitPolicyFile(attention) : undefined;
  if (!file) return { attention };
  return { policies: { [FILE_POLICY]: file.path }, attention: `${FILE_POLICY}${file.settings}` };
}

/** Turns an impossible attention spec, context length or number of threads into a UsageError. */
export function asUsage(error: unknown): unknown {
  return error instanceof ConfigError ? new UsageError(error.message) : error;
}
