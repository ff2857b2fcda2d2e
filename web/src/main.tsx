import { render } from "preact";
import { App } from "./app.tsx";
import { openConversations } from "./conversations/conversation-store.ts";
import { registerServiceWorker } from "./offline/register.ts";
import { chat, openModel, pageFault, storageFault } from "./page-state.ts";
import "./style/index.css";
import { claimTab, tabState } from "./tab/one-tab.ts";
import { texts } from "./texts.ts";

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no #app");
render(<App start={start} />, root);

globalThis.addEventListener("unhandledrejection", ({ reason }) => {
  pageFault.value = `${texts.errors.page} ${reason instanceof Error ? reason.message : String(reason)}`;
});
globalThis.addEventListener("error", ({ message }) => {
  pageFault.value = `${texts.errors.page} ${message}`;
});
// a tab that is hidden may never be told that it is closed
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") void chat.saveNow();
});

await claimTab();
if (tabState.value === "ours") await start();

/** Starts the page in this tab. */
async function start(): Promise<void> {
  const [{ store, why }, stays] = await Promise.all([openConversations(), registerServiceWorker()]);
  if (!stays) return; // the page reloads itself
  storageFault.value = why;
  await chat.useStore(store);
  await openModel();
}
