import type { Signal } from "@preact/signals";
import { chat } from "./page-state.ts";
import { texts } from "./texts.ts";

export const VIEW_NAMES = ["selection", "speed"] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

/** The views of the newest run, one at a time. */
export function Views({ view }: { readonly view: Signal<ViewName> }) {
  const record = chat.record.value;
  const choose = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    view.value = view.value === "selection" ? "speed" : "selection";
    document.getElementById(`tab-${view.value}`)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={texts.views.heading}>
        {VIEW_NAMES.map((name) => (
          <button
            type="button"
            role="tab"
            key={name}
            id={`tab-${name}`}
            aria-selected={view.value === name}
            aria-controls="view"
            tabIndex={view.value === name ? 0 : -1}
            onKeyDown={choose}
            onClick={() => (view.value = name)}
          >
            {texts.views[name]}
          </button>
        ))}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a panel without controls must be reachable by keyboard */}
      <div class="views-body" role="tabpanel" id="view" aria-label={texts.views[view.value]} tabIndex={0}>
        {record ? null : (
          <div class="empty">
            <h2>{texts.views.emptyHeading}</h2>
            <p>{texts.views.empty}</p>
          </div>
        )}
      </div>
    </>
  );
}
