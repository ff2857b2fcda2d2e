import { formatTable, percent } from "../report/table.ts";
import type { Checked } from "./check.ts";
import { mean } from "./choose.ts";
import type { Race } from "./race.ts";
import type { LayerRecall } from "./recall.ts";
import type { Ranked, Search } from "./search.ts";

/** Share of the cache from which on a setting is no cheaper than full attention. */
const SAVES_NOTHING = 0.99;
/** From none to all. */
const SHADES = " ·░▒▓█";

/** Table of the finalists, nearest to full attention first. */
export function describeSearch({ finalists, chosen, confidence, leftOut }: Search): string {
  const rows = finalists.map((one) => [
    one.spec === chosen.spec ? `* ${short(one.spec)}` : `  ${short(one.spec)}`,
    `${one.divergence.toFixed(4)} ± ${one.standardError.toFixed(4)}`,
    percent(one.attendedFraction),
    one.recall === undefined ? "" : percent(one.recall),
    String(one.steps),
  ]);
  const header = ["  setting", "divergence, nats", "of the cache read", "expected recall", "steps"];
  const lines = [
    formatTable({ header, rows }),
    `  chosen in ${percent(confidence)} of resamples of the steps`,
    ...(chosen.attendedFraction < SAVES_NOTHING
      ? []
      : ["  it reads as much as full attention: the policy saves nothing on this model"]),
    ...leftOut.map((what) => `  left out, as the time did not suffice: ${what}`),
  ];
  return `${lines.join("\n")}\n`;
}

/**
 * Heat map of recall: the attention of the layer of a column that the selection of the layer of a row holds. Returns "" without
 * one.
 */
export function recallMap(recall: LayerRecall | undefined): string {
  if (recall === undefined || recall.layers.length < 2) return "";
  const { layers, shares } = recall;
  // Shades by rank: the shares of most layers are alike, and a few are far below.
  const values = shares.flatMap((row, a) => row.slice(a + 1)).sort((a, b) => a - b);
  const [low = 0, high = 0] = [values[0], values.at(-1)];
  const shade = (share: number) => {
    const rank = values.findIndex((value) => value >= share) / values.length;
    return SHADES[1 + Math.floor(rank * (SHADES.length - 1))] ?? " ";
  };
  const width = String(layers.at(-1)).length;
  const digits = Array.from({ length: width }, (_, i) =>
    layers
      .map((layer) => `${String(layer).padStart(width)[i]} `)
      .join("")
      .trimEnd(),
  );
  const rows = shares.map(
    (row, a) =>
      `${String(layers[a]).padStart(9)}  ${row
        .map((share, b) => (b <= a ? "  " : `${shade(share)} `))
        .join("")
        .trimEnd()}`,
  );
  return [
    ...digits.map((line, i) => `${(i === width - 1 ? "selection" : "").padStart(9)}  ${line}`),
    ...rows,
    `    layers read the selection of a row: the lightest fifth holds ${percent(low)} or more of what they attend to, █ up to ${percent(high)}`,
    "",
  ].join("\n");
}

/**
 * Heat map of the first round: a shade for each second selection layer, the darkest for the nearest to full attention. Returns "" if the
 * candidates are no pairs of layers.
 */
export function divergenceMap({ first }: Pick<Search, "first">): string {
  const [, start] = first.find(({ layers }) => layers?.length === 2)?.layers ?? [];
  const pairs = start === undefined ? [] : pairsOf(first);
  if (pairs.length < 2) return "";
  const logs = pairs.map(({ divergence }) => Math.log(Math.max(divergence, 1e-9)));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const cells = logs.map((log) => {
    const share = high > low ? (high - log) / (high - low) : 1;
    return ` ${SHADES[1 + Math.min(SHADES.length - 2, Math.floor(share * (SHADES.length - 1)))]} `;
  });
  const layer = ({ layers }: Ranked) => String(layers?.[1] ?? "").padStart(2);
  return [
    `second layer  ${pairs.map((pair) => `${layer(pair)} `).join("")}`.trimEnd(),
    `first ${String(pairs[0]?.layers?.[0]).padStart(2)}      ${cells.join("")}`.trimEnd(),
    `█ ${Math.exp(low).toFixed(4)} nats from full attention, ${SHADES[1]} ${Math.exp(high).toFixed(4)}`,
    "",
  ].join("\n");
}

/** Pairs with the first layer that most pairs have, by second layer. */
function pairsOf(first: readonly Ranked[]): Ranked[] {
  const pairs = first.filter(({ layers }) => layers?.length === 2);
  const counts = new Map<number, Ranked[]>();
  for (const pair of pairs) {
    const layer = pair.layers?.[0] ?? 0;
    counts.set(layer, [...(counts.get(layer) ?? []), pair]);
  }
  const [most = []] = [...counts.values()].sort((a, b) => b.length - a.length);
  return [...most].sort((a, b) => (a.layers?.[1] ?? 0) - (b.layers?.[1] ?? 0));
}

/** Table of the check on unseen text. */
export function describeCheck(checked: readonly Checked[]): string {
  const rows = checked.map(({ spec, extraLoss, interval, attendedFraction }) => [
    `  ${short(spec)}`,
    `${extraLoss.toFixed(3)} (${interval.map((end) => end.toFixed(3)).join(" to ")})`,
    percent(attendedFraction),
  ]);
  return `${formatTable({ header: ["  on unseen text", "extra loss, nats a token (95 %)", "of the cache read"], rows })}\n`;
}

/** Table of the problems that were solved. */
export function describeRace({ full, settings, leftOut }: Race): string {
  const rows = [full, ...settings].map(
    ({ spec, solved, of, lost, extraLosses, attendedFraction, mostRead, isOut }) => [
      `  ${short(spec)}`,
      `${solved} of ${of}`,
      String(lost),
      mean(extraLosses).toExponential(1),
      `${percent(attendedFraction)}, ${percent(mostRead)}${isOut ? ", left" : ""}`,
    ],
  );
  const header = ["  on problems", "solved", "lost", "extra loss, nats a token", "of the cache read, most"];
  const note = leftOut > 0 ? `  left out, as the time did not suffice: ${leftOut} blocks of problems\n` : "";
  return `${formatTable({ header, rows })}\n${note}`;
}

/** Without head maps, which fill lines. */
function short(spec: string): string {
  return spec.replace(/maps=.*/, "maps=…");
}
