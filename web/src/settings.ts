import { effect, signal } from "@preact/signals";
import { type AttentionChoice, DEFAULT_ATTENTION } from "./chat/attention-choice.ts";
import type { Thinking } from "./conversations/conversation.ts";
import { type BackendWish, isBackendWish } from "./engine/open-wish.ts";

/** What a person has chosen, kept for the next visit where the browser allows it. */
export interface Settings {
  readonly attention: AttentionChoice;
  readonly thinking: Thinking;
  readonly backend: BackendWish;
  readonly theme: "auto" | "light" | "dark";
}

const KEY = "lessismore settings";
const DEFAULTS: Settings = {
  attention: DEFAULT_ATTENTION,
  thinking: { kind: "free" },
  backend: "auto",
  theme: "auto",
};

export const settings = signal<Settings>(read());

export function change(some: Partial<Settings>): void {
  settings.value = { ...settings.value, ...some };
}

effect(() => {
  const { value } = settings;
  document.documentElement.dataset.theme = value.theme;
  try {
    localStorage.setItem(KEY, JSON.stringify(value));
  } catch {
    // a browser that blocks storage forgets them; the page says so of conversations
  }
});

/** Settings of an earlier visit, or of an older page: what does not fit is left out. */
function read(): Settings {
  try {
    const kept: Partial<Settings> = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return {
      attention: { ...DEFAULTS.attention, ...kept.attention },
      thinking: { ...DEFAULTS.thinking, ...kept.thinking },
      backend: isBackendWish(kept.backend) ? kept.backend : DEFAULTS.backend,
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : DEFAULTS.theme,
    };
  } catch {
    return DEFAULTS;
  }
}
