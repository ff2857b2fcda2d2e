import { signal } from "@preact/signals";

/** ready: the page works without a network. */
export type OfflineState = "unsupported" | "preparing" | "ready" | "failed";

export const offlineState = signal<OfflineState>("preparing");
/** Why it failed. */
export const offlineError = signal<string | undefined>(undefined);

/** Longest wait for the service worker before the page goes on without it. */
const PATIENCE_MS = 8000;
/** Set while the page reloads itself for its headers, so that it does so once. */
const RELOADED = "lessismore reloaded";

/**
 * Registers the service worker and waits until it answers the page's requests. Reloads the page once if only the service worker can
 * give it the headers that threads need. Resolves to false if the page is about to go.
 */
export async function registerServiceWorker(): Promise<boolean> {
  const container = globalThis.navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!container) {
    offlineState.value = "unsupported";
    return true;
  }
  try {
    await container.register(new URL("service-worker.js", document.baseURI), { scope: "./" });
    const isInControl = await inControl(container);
    offlineState.value = isInControl ? "ready" : "preparing";
    if (!isInControl) container.addEventListener("controllerchange", () => (offlineState.value = "ready"));
    return !(isInControl && reloadForHeaders());
  } catch (error) {
    offlineState.value = "failed";
    offlineError.value = error instanceof Error ? error.message : String(error);
    return true;
  }
}

function inControl(container: ServiceWorkerContainer): Promise<boolean> {
  if (container.controller) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE_MS);
    container.addEventListener(
      "controllerchange",
      () => {
        clearTimeout(timer);
        resolve(true);
      },
      { once: true },
    );
  });
}

function reloadForHeaders(): boolean {
  if (globalThis.crossOriginIsolated || readSession(RELOADED) === "1") return false;
  if (!writeSession(RELOADED, "1")) return false; // it could reload for ever
  location.reload();
  return true;
}

function readSession(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function writeSession(key: string, value: string): boolean {
  try {
    sessionStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
