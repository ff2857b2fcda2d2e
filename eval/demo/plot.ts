import type { Stretch } from "./token-times.ts";

/** One curve of a plot. */
export interface Curve {
  readonly name: string;
  /** One character. */
  readonly mark: string;
  /** Escape code of the terminal, if the curve has a colour. */
  readonly colour?: string;
  readonly stretches: readonly Stretch[];
}

const HEIGHT = 9; // rows of the plot
const COLUMN = 3; // characters of a stretch
const RESET = "\u001b[0m";

/**
 * Draws milliseconds a token over the position, from zero up: one column a stretch, a legend above. Returns "" without a stretch.
 * Where two curves meet, the mark of the later one shows.
 */
export function plotCurves(curves: readonly Curve[]): string {
  const positions = [
    ...new Set(curves.flatMap(({ stretches }) => stretches.map(({ position }) => position))),
  ];
  positions.sort((a, b) => a - b);
  const top = Math.max(...curves.flatMap(({ stretches }) => stretches.map(({ msPerToken }) => msPerToken)));
  if (positions.length === 0) return "";
  const rows = Array.from({ length: HEIGHT }, () => positions.map(() => " "));
  for (const { mark, colour, stretches } of curves)
    for (const { position, msPerToken } of stretches) {
      const row = rows[HEIGHT - 1 - Math.round((msPerToken / top) * (HEIGHT - 1))];
      if (row !== undefined)
        row[positions.indexOf(position)] = colour === undefined ? mark : `${colour}${mark}${RESET}`;
    }
  const label = (row: number) => {
    if (row % 4 !== 0) return " ".repeat(6);
    return ((top * (HEIGHT - 1 - row)) / (HEIGHT - 1)).toFixed(1).padStart(6);
  };
  const lines = rows.map((row, i) => `${label(i)} ┤${row.map((cell) => `  ${cell}`).join("")}`.trimEnd());
  const legend = curves.map(({ name, mark, colour = "" }) => `${colour}${mark}${colour && RESET} ${name}`);
  return [
    `ms a token: ${legend.join("   ")}`,
    ...lines,
    `${" ".repeat(7)}└${"─".repeat(COLUMN * positions.length)}`,
    positionLine(positions),
  ].join("\n");
}

/** The same figures in lines, for a reader that is no terminal: one line a stretch. */
export function listCurves(curves: readonly Curve[]): string {
  const positions = [
    ...new Set(curves.flatMap(({ stretches }) => stretches.map(({ position }) => position))),
  ];
  positions.sort((a, b) => a - b);
  const cells = positions.map((position) =>
    curves.map(({ stretches }) => {
      const found = stretches.find((stretch) => stretch.position === position);
      return found === undefined ? "-" : found.msPerToken.toFixed(2);
    }),
  );
  const header = ["tokens cached", ...curves.map(({ name }) => name)];
  return [
    `ms a token: ${header.join(", ")}`,
    ...positions.map((position, i) => `${String(position).padStart(6)}  ${(cells[i] ?? []).join("  ")}`),
  ].join("\n");
}

/** Every fourth position under its column. */
function positionLine(positions: readonly number[]): string {
  let line = " ".repeat(8);
  for (const [i, position] of positions.entries()) {
    if (i % 4 !== 3) continue;
    const end = 8 + COLUMN * (i + 1);
    line += String(position).padStart(end - line.length);
  }
  return `${line}  tokens cached`;
}
