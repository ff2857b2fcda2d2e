import { signal } from "@preact/signals";

/** ours: this tab has the page; other: another tab has it; taken: another tab has taken it from this one. */
export type TabState = "asking" | "ours" | "other" | "taken";

export const tabState = signal<TabState>("asking");
const LOCK = "lessismore page";

/** Claims the page for this tab: two tabs would each hold a model, and write the same conversations. Browsers without locks allow it. */
export async function claimTab(mayTake = false): Promise<void> {
  const locks = globalThis.navigator.locks as LockManager | undefined;
  if (!locks) {
    tabState.value = "ours";
    return;
  }
  await new Promise<void>((claimed) => {
    const hold = (lock: Lock | null): Promise<void> | undefined => {
      tabState.value = lock ? "ours" : "other";
      claimed();
      return lock ? new Promise<void>(() => {}) : undefined; // held until the tab goes, or another takes it
    };
    const options: LockOptions = mayTake ? { steal: true } : { ifAvailable: true };
    locks.request(LOCK, options, hold).catch(() => {
      tabState.value = "taken";
      claimed();
    });
  });
}
