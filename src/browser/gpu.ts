import { BackendError } from "../base/errors.ts";

/** WebGPU of this page or worker. @throws BackendError if there is none, with the reason. */
export async function openNavigatorGpu(): Promise<GPU> {
  // Older browsers and insecure pages lack it, whatever the types say.
  const gpu: GPU | undefined = globalThis.navigator.gpu;
  if (gpu) return gpu;
  throw new BackendError(
    globalThis.isSecureContext
      ? "opening WebGPU: this browser has no navigator.gpu; use one that has WebGPU switched on, or the wasm backend"
      : "opening WebGPU: browsers have it on secure pages only; serve the page over https or from localhost, " +
          "or use the wasm backend",
  );
}
