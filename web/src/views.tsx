import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { DEFAULT_ATTENTION, specOf } from "./chat/attention-choice.ts";
import { chat, engines } from "./page-state.ts";
import type { RunRecord } from "./run/run-record.ts";
import { useRecord } from "./run/use-record.ts";
import { SelectionView } from "./selection/selection-view.tsx";
import type { Race } from "./speed/race.ts";
import { RaceControls } from "./speed/race-controls.tsx";
import { SpeedView } from "./speed/speed-view.tsx";
import { texts } from "./texts.ts";

export const VIEW_NAMES = ["selection", "speed"] as const;
export type ViewName = (typeof VIEW_NAMES)[number];

/** Tokens of a race's runs that end early: too few for a curve. */
const MIN_RACE_TOKENS = 256;

/** The speed of a run, or of a race on its problem. */
function Speed({ record }: { readonly record: RunRecord }) {
  const race = useSignal<Race | undefined>(undefined);
  const { value: state } = engines.state;
  useRecord(record);
  useSignalEffect(() => {
    if (chat.live.value) race.peek()?.stop(); // a run beside it would count in its times
  });
  const { promptLength, length, attention } = record;
  const prompt = useMemo(
    () => Array.from({ length: promptLength }, (_, at) => record.tokenIdAt(at) ?? 0),
    [record, promptLength],
  );
  const [first, peer] = race.value?.runs ?? [record];
  return (
    <>
      <RaceControls
        engine={state.phase === "ready" ? state.engine : undefined}
        promptTokenIds={prompt}
        attention={attention === "full" ? specOf(DEFAULT_ATTENTION) : attention}
        maxTokens={Math.max(MIN_RACE_TOKENS, length - promptLength)}
        isBusy={chat.live.value !== undefined}
        onRace={(made) => {
          race.value = made;
        }}
      />
      <SpeedView record={first ?? record} peer={peer} />
    </>
  );
}

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
        {record ? (
          <>
            <h2 class="for-readers">{texts.views.heading}</h2>
            {view.value === "selection" && <SelectionView key={record} record={record} />}
            {/* it stays, since its race does */}
            <div hidden={view.value !== "speed"}>
              <Speed key={record} record={record} />
            </div>
          </>
        ) : (
          <div class="empty">
            <h2>{texts.views.emptyHeading}</h2>
            <p>{texts.views.empty}</p>
          </div>
        )}
      </div>
    </>
  );
}
