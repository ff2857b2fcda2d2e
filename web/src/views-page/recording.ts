/** A recorded run, as JSON: what an engine gave to a record, and when. */
import type { EngineReport, GenerationPart, LayerTrace, StepTrace } from "lessismore";

export interface Recording {
  readonly attention: string;
  readonly promptTokenIds: readonly number[];
  /** By token id. */
  readonly texts: Readonly<Record<number, string>>;
  readonly engine: EngineReport;
  readonly events: readonly RecordedEvent[];
}

export interface RecordedEvent {
  /** Milliseconds since the request. */
  readonly atMs: number;
  readonly part?: GenerationPart;
  readonly trace?: RecordedTrace;
}

/** A trace with its distinct selections once, as gaps between positions. */
export interface RecordedTrace extends Omit<StepTrace, "layers"> {
  readonly layers: readonly (Omit<LayerTrace, "selection" | "mergeHeads"> & { readonly selected?: number })[];
  readonly selections: readonly {
    readonly gaps: readonly (readonly number[])[];
    readonly heads?: readonly number[];
  }[];
}

export function recordTrace({ layers, ...trace }: StepTrace): RecordedTrace {
  const sets: NonNullable<LayerTrace["selection"]>[] = [];
  const selections: RecordedTrace["selections"][number][] = [];
  return {
    ...trace,
    layers: layers.map(({ selection, mergeHeads, ...layer }) => {
      if (!selection) return layer;
      if (!sets.includes(selection)) {
        sets.push(selection);
        const gaps = selection.map((set) => Array.from(set, (at, i) => at - (set[i - 1] ?? 0)));
        selections.push({ gaps, ...(mergeHeads && { heads: [...mergeHeads] }) });
      }
      return { ...layer, selected: sets.indexOf(selection) };
    }),
    selections,
  };
}

export function replayTrace({ layers, selections, ...trace }: RecordedTrace): StepTrace {
  const sets = selections.map(({ gaps }) =>
    gaps.map((all) => {
      let at = 0;
      return Uint32Array.from(all, (gap) => (at += gap));
    }),
  );
  return {
    ...trace,
    layers: layers.map(({ selected, ...layer }) => {
      if (selected === undefined) return layer;
      const heads = selections[selected]?.heads;
      return {
        ...layer,
        ...(sets[selected] && { selection: sets[selected] }),
        ...(heads && layer.role.selects && { mergeHeads: Int16Array.from(heads) }),
      };
    }),
  };
}
