/** What the layers of a chosen step saw, in the form in which the view shows it. */
import type { RunRecord } from "../run/run-record.ts";
import type { KeptSelection } from "../run/selection-bytes.ts";
import type { LayerUse, ObservedSelections } from "../run/selection-log.ts";

/** Layers that saw the same tokens in a step. */
export interface LayerGroup {
  readonly layers: readonly number[];
  /** all: every cached token; window: the last `window`; selected: a selection. */
  readonly sees: "all" | "window" | "selected";
  readonly window?: number;
  /** Of `sees` selected, and of a layer that sees all and selects: its index into the step's selections. */
  readonly selection?: number;
  /** True for a layer that made the selection in this step. */
  readonly selects: boolean;
}

/** Groups the layers of a step by what they saw, in order of their first layer. */
export function groupLayers({ layers }: Pick<ObservedSelections, "layers">): readonly LayerGroup[] {
  const groups = new Map<string, LayerGroup & { readonly layers: number[] }>();
  for (const use of layers) {
    const sees = seesOf(use);
    const { selection } = use;
    // layers that see all are one group, unless they select
    const shown = sees === "selected" || use.selects ? selection : undefined;
    const key = `${sees} ${use.window} ${shown} ${use.selects}`;
    const known = groups.get(key);
    if (known) known.layers.push(use.layer);
    else
      groups.set(key, {
        ...{ layers: [use.layer], sees, selects: use.selects },
        ...(use.window !== undefined && { window: use.window }),
        ...(shown !== undefined && { selection: shown }),
      });
  }
  return [...groups.values()];
}

function seesOf({ attends, window, selection }: LayerUse): LayerGroup["sees"] {
  if (window !== undefined) return "window";
  return attends === "selected" && selection !== undefined ? "selected" : "all";
}

/** The layer that made the selection that a group attends to: the last one that selects before it. */
export function selectorOf(
  groups: readonly LayerGroup[],
  { layers, selection }: LayerGroup,
): number | undefined {
  const [first = 0] = layers;
  const makers = groups
    .filter((group) => group.selects && group.selection === selection)
    .flatMap((group) => group.layers);
  return makers.filter((layer) => layer <= first).at(-1);
}

/** Of an ascending list of layers: "3 to 6, 8". */
export function listLayers(layers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const layer of layers) {
    const last = runs.at(-1);
    if (last && last[1] === layer - 1) last[1] = layer;
    else runs.push([layer, layer]);
  }
  return runs
    .map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`))
    .join(", ");
}

/** Who put a token into a selection: a head, or -1: it is always kept; undefined: the policy ranks for all heads at once. */
export type Origin = number | undefined;

/** One token of a selection. */
export interface SelectedToken {
  readonly position: number;
  readonly heads: readonly Origin[];
}

/** The tokens that a selection has in any of its sets, ascending, with the heads that have them there. */
export function tokensOf({ sets, heads, ends }: KeptSelection, position: number): readonly SelectedToken[] {
  const [only] = sets;
  if (sets.length === 1 && only)
    return Array.from(only, (token, i) => ({
      position: token,
      heads: [heads ? (heads[i] as number) : isEnd(token, ends, position) ? -1 : undefined],
    }));
  const groups = new Map<number, number[]>();
  for (const [group, set] of sets.entries())
    for (const token of set) {
      const known = groups.get(token);
      if (known) known.push(group);
      else groups.set(token, [group]);
    }
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([token, of]) => ({ position: token, heads: isEnd(token, ends, position) ? [-1] : of }));
}

function isEnd(token: number, ends: KeptSelection["ends"], position: number): boolean {
  return ends !== undefined && (token < ends.sinks || token > position - ends.recent);
}

/** Tokens by origin: always kept, and by head or head group. */
export interface OriginCounts {
  readonly kept: number;
  /** Tokens that the policy ranked for all heads at once. */
  readonly unnamed: number;
  /** By head (or head group of a selection with several sets); a token of several heads counts for each. */
  readonly heads: readonly number[];
}

export function countOrigins(tokens: readonly SelectedToken[]): OriginCounts {
  const counts = { kept: 0, unnamed: 0, heads: [] as number[] };
  for (const { heads } of tokens)
    for (const head of heads)
      if (head === undefined) counts.unnamed++;
      else if (head < 0) counts.kept++;
      else {
        while (counts.heads.length <= head) counts.heads.push(0);
        counts.heads[head] = (counts.heads[head] ?? 0) + 1;
      }
  return counts;
}

/** The position of the step to show for a click on a token: the token's own step, if one was observed by then. */
export function stepFor(record: RunRecord, position: number): ObservedSelections | undefined {
  return position < record.promptLength ? undefined : record.stepAt(position);
}
