import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { probeCapabilities } from "./engine/capabilities.ts";
import { offlineError } from "./offline/register.ts";
import { chat, engines, pageFault, storageFault } from "./page-state.ts";
import { settings } from "./settings.ts";
import { texts } from "./texts.ts";

/** What this browser or this host lacks, and what has failed, each with what follows from it. */
export function Notices() {
  const isOffline = useSignal(!globalThis.navigator.onLine);
  const dismissed = useSignal<readonly string[]>([]);
  useEffect(() => {
    const update = () => {
      isOffline.value = !globalThis.navigator.onLine;
    };
    globalThis.addEventListener("online", update);
    globalThis.addEventListener("offline", update);
    return () => {
      globalThis.removeEventListener("online", update);
      globalThis.removeEventListener("offline", update);
    };
  }, [isOffline]);
  const shown = [...faults(), ...lacks(isOffline.value)].filter(
    ({ text }) => !dismissed.value.includes(text),
  );
  return (
    <div role="status" aria-live="polite" style={{ display: "grid", gap: "0.5rem" }}>
      {shown.map(({ text, kind }) => (
        <div class={`notice ${kind}`} key={text}>
          <p>{text}</p>
          <button type="button" class="quiet" onClick={() => (dismissed.value = [...dismissed.value, text])}>
            {texts.notices.dismiss}
          </button>
        </div>
      ))}
    </div>
  );
}

interface Notice {
  readonly kind: "failed" | "warn" | "plain";
  readonly text: string;
}

function faults(): Notice[] {
  const found: Notice[] = [];
  const add = (text: string | undefined) => text !== undefined && found.push({ kind: "failed", text });
  add(pageFault.value);
  add(chat.saveError.value === undefined ? undefined : texts.notices.saveFailed(chat.saveError.value));
  add(storageFault.value === undefined ? undefined : texts.notices.notKept(storageFault.value));
  return found;
}

function lacks(isOffline: boolean): Notice[] {
  const found: Notice[] = [];
  const { value: state } = engines.state;
  const { hasWebGpu, isIsolated } = probeCapabilities();
  const isOnCpu = state.phase === "ready" && state.report.backend.name !== "webgpu";
  for (const { attempt, reason } of state.phase === "ready" ? state.failed : []) {
    const wanted = texts.engine.attempt(attempt.backend, attempt.threads);
    found.push({ kind: "warn", text: texts.engine.fellBack(wanted, reason) });
  }
  const wantsGpu = settings.value.backend === "auto" || settings.value.backend === "webgpu";
  if (isOnCpu && wantsGpu && !hasWebGpu) found.push({ kind: "plain", text: texts.notices.noWebGpu });
  if (isOnCpu && !isIsolated && settings.value.backend !== "one-thread")
    found.push({ kind: "warn", text: texts.notices.notIsolated });
  if (offlineError.value !== undefined)
    found.push({ kind: "warn", text: texts.notices.offlineFailed(offlineError.value) });
  if (isOffline) found.push({ kind: "plain", text: texts.notices.offline });
  return found;
}
