import { useMemo, useState } from "preact/hooks";
import type { RunRecord } from "../run/run-record.ts";
import { useRecord } from "../run/use-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { countOrigins, groupLayers, listLayers, stepFor, tokensOf } from "./chosen-step.ts";
import { Legend } from "./legend.tsx";
import { OverlapChart } from "./overlap-chart.tsx";
import { overlayOf } from "./overlay.ts";
import { StepDetail } from "./step-detail.tsx";
import { Strip } from "./strip.tsx";
import "./selection-view.css";

export interface SelectionViewProps {
  readonly record: RunRecord;
  /** Called after each frame of the strip with the milliseconds of its script. */
  readonly onFrame?: (scriptMs: number) => void;
}

const texts = viewTexts.selection;

/** A run's tokens, coloured by how often and how recently each was attended, and what the layers of a chosen step saw. */
export function SelectionView({ record, onFrame }: SelectionViewProps) {
  useRecord(record);
  const [chosen, setChosen] = useState<{ readonly of: RunRecord; readonly position: number } | undefined>();
  const [groupIndex, setGroupIndex] = useState<number | undefined>();
  // a choice belongs to its record
  const position = chosen?.of === record ? chosen.position : undefined;
  const choose = (next: number | undefined) =>
    setChosen(next === undefined ? undefined : { of: record, position: next });
  const step = position === undefined ? undefined : stepFor(record, position);
  const stepPosition = step?.position;
  const groups = useMemo(() => (step ? groupLayers(step) : []), [record, stepPosition]);
  // the layers that attend to a selection are what one wants to see first
  const wanted =
    groupIndex ??
    Math.max(
      0,
      groups.findIndex(({ sees }) => sees === "selected"),
    );
  const group = groups[Math.min(wanted, groups.length - 1)];
  const selection = group?.selection === undefined ? undefined : step?.selections[group.selection];
  const tokens = useMemo(
    () => (selection && stepPosition !== undefined ? tokensOf(selection, stepPosition) : undefined),
    [record, stepPosition, group?.selection],
  );
  const overlay = useMemo(
    () => (step && group ? overlayOf(step.position, group, tokens) : undefined),
    [record, stepPosition, group, tokens],
  );
  const kept = useMemo(
    () =>
      stepPosition === undefined
        ? undefined
        : { ...(selection?.ends ?? { sinks: 0, recent: 0 }), last: stepPosition },
    [record, stepPosition, selection],
  );
  return (
    <section class="selection-view" aria-label={texts.heading}>
      <h2>{texts.heading}</h2>
      <Strip
        key={record}
        record={record}
        cursor={position}
        overlay={overlay}
        kept={kept}
        valueText={position === undefined ? summaryOf(record) : valueTextOf(record, position, groups)}
        onChoose={choose}
        {...(onFrame && { onFrame })}
      />
      <Legend
        isStep={overlay !== undefined}
        counts={tokens && countOrigins(tokens)}
        hasSets={(selection?.sets.length ?? 0) > 1}
      />
      <p class="selection-status" role="status">
        {position === undefined ? summaryOf(record) : tokenTextOf(record, position)}
      </p>
      {position !== undefined && (
        <StepDetail
          {...{ record, position, step, groups, group, selection, tokens }}
          onGroup={(next) => setGroupIndex(next)}
          onChoose={choose}
        />
      )}
      <OverlapChart record={record} cursor={stepPosition} onChoose={choose} />
    </section>
  );
}

/** One or two sentences on the whole run. */
function summaryOf(record: RunRecord): string {
  const { attendedFraction, numObserved, numSets } = record;
  const parts = [texts.summary(record.length, record.promptLength, numObserved)];
  if (numSets > 0 && attendedFraction !== undefined) parts.push(texts.sparse(attendedFraction));
  else if (numObserved > 0) parts.push(texts.dense);
  else if (record.state === "done") parts.push(texts.noObserver);
  if (record.selections.keptEvery > 1) parts.push(texts.thinned(record.selections.keptEvery));
  return parts.join(" ");
}

/** What is known of a token over all steps. */
function tokenTextOf(record: RunRecord, position: number): string {
  const share = record.shareAt(position);
  const last = record.lastAttended[position] ?? -1;
  const origin = record.originAt(position) ?? "";
  const name = texts.token(record.textAt(position), position, origin);
  if (share === undefined) return `${name}.`;
  const sets = record.numSets - (record.setsBefore[position] ?? 0);
  return `${name}. ${share > 0 ? texts.attended(share, sets, last < 0 ? undefined : last) : texts.notAttended}`;
}

/** The chosen token and what its layers saw, for screen readers. */
function valueTextOf(record: RunRecord, position: number, groups: ReturnType<typeof groupLayers>): string {
  const { layer, all, slides } = viewTexts.step;
  const step = stepFor(record, position);
  const layers = !step
    ? position < record.promptLength
      ? texts.promptToken
      : texts.noStep
    : groups
        .map(({ layers: list, sees, window, selection }) => {
          const name = layer(listLayers(list), list.length === 1);
          const made = selection === undefined ? undefined : step.selections[selection];
          if (sees === "window") return `${name}: ${slides(window ?? 0)}`;
          if (sees === "all") return `${name}: ${all(step.position + 1)}`;
          return `${name}: ${viewTexts.step.selected(sizeOf(made?.sets ?? []), step.position + 1)}`;
        })
        .join("; ");
  return viewTexts.step.value(record.textAt(position), position, layers);
}

function sizeOf(sets: readonly Uint32Array[]): number {
  return Math.max(0, ...sets.map(({ length }) => length));
}
