/** What this browser and this page have. Probed, never taken from a browser's name. */
export interface Capabilities {
  readonly isSecure: boolean;
  readonly hasWebGpu: boolean;
  /** True if workers may share memory, which threads need. */
  readonly isIsolated: boolean;
  readonly hasPrivateFiles: boolean;
  readonly hasLocks: boolean;
  readonly hasServiceWorker: boolean;
  readonly cores: number;
}

export function probeCapabilities(): Capabilities {
  const { navigator } = globalThis;
  return {
    isSecure: globalThis.isSecureContext,
    hasWebGpu: "gpu" in navigator,
    isIsolated: globalThis.crossOriginIsolated,
    hasPrivateFiles: navigator.storage !== undefined && "getDirectory" in navigator.storage,
    hasLocks: "locks" in navigator,
    hasServiceWorker: "serviceWorker" in navigator,
    cores: navigator.hardwareConcurrency,
  };
}

/** Bytes that the page's storage holds and may hold; undefined where the browser does not tell. */
export async function storageEstimate(): Promise<{ usage: number; quota: number } | undefined> {
  const { usage, quota } = (await globalThis.navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
  return usage === undefined || quota === undefined ? undefined : { usage, quota };
}
