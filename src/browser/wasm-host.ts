import type { StartedWorker, WasmHost, WasmModuleName, WorkerData } from "../backend/wasm/open-wasm.ts";
import { BackendError } from "../base/errors.ts";
import { createTuningStore } from "./tuning-store.ts";

/** URLs of the kernels, right from sources and from compiled files. Literals, so that bundlers find and copy them. */
const KERNEL_URLS: Readonly<Record<WasmModuleName, URL>> = {
  "simd-threads": new URL("../../wasm/simd-threads.wasm", import.meta.url),
  "simd-single": new URL("../../wasm/simd-single.wasm", import.meta.url),
  "relaxed-threads": new URL("../../wasm/relaxed-threads.wasm", import.meta.url),
  "relaxed-single": new URL("../../wasm/relaxed-single.wasm", import.meta.url),
};

/** First bytes of every WebAssembly module: "\0asm". */
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

/**
 * The WASM backend's host in browsers: it fetches kernels, from `wasmFolder` if one is named, and starts workers if the
 * page may share memory with them.
 */
export function createWasmHost(wasmFolder?: string | URL): WasmHost {
  const tuningStore = createTuningStore();
  const host = {
    maxThreads: globalThis.navigator.hardwareConcurrency,
    loadModule: (name: WasmModuleName) => fetchKernels(kernelUrl(name, wasmFolder)),
    ...(tuningStore && { tuningStore }),
  };
  if (globalThis.crossOriginIsolated) return { ...host, startWorker };
  return {
    ...host,
    whyOneThread:
      "the page is not cross-origin isolated; serve it with the headers Cross-Origin-Opener-Policy: same-origin and " +
      "Cross-Origin-Embedder-Policy: require-corp",
  };
}

function kernelUrl(name: WasmModuleName, folder: string | URL | undefined): URL {
  if (folder === undefined) return KERNEL_URLS[name];
  const base = new URL(folder, globalThis.location.href);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return new URL(`${name}.wasm`, base);
}

async function fetchKernels(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const hint = "serve the package's dist/wasm there, or name the URL of that folder in `wasmFolder`";
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new BackendError(`fetching the kernels ${url.href}: ${String(cause)}; ${hint}`, { cause });
  }
  if (!response.ok)
    throw new BackendError(
      `fetching the kernels ${url.href}: the server answered ${response.status}; ${hint}`,
    );
  const bytes = new Uint8Array(await response.arrayBuffer());
  // Development servers answer an unknown path with their start page.
  if (MAGIC.some((byte, at) => bytes[at] !== byte))
    throw new BackendError(
      `fetching the kernels ${url.href}: expected a WebAssembly module, got ` +
        `${response.headers.get("content-type") ?? "something else"}; ${hint}`,
    );
  return bytes;
}

/** Makes a worker from a Blob, which needs no file, also if the package comes from another origin. */
function startWorker(source: string, data: WorkerData): StartedWorker {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { name: `lessismore ${data.index}` });
  worker.postMessage(data);
  return {
    onFailure: (callback) => {
      worker.addEventListener(
        "error",
        (event) => {
          event.preventDefault(); // The backend reports it.
          callback(failureOf(event));
        },
        { once: true },
      );
    },
    terminate: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** Describes a failure: an error inside the worker has a message, a worker that could not start sends a bare event. */
function failureOf(event: ErrorEvent): Error {
  return new Error(
    event.message ||
      "the browser refused to start a worker; the page's Content-Security-Policy must allow worker-src blob:",
  );
}
