/** Cells of a heat map: one hue, deeper with the share, legible on both surfaces. */
import { Plot } from "./figure.ts";

interface HeatCell {
  /** From 0 to 1. */
  readonly value: number;
  readonly text: string;
  readonly title: string;
}

/** From this share on, text is in the colour of the surface. */
const DEEP = 0.78;

export function heatMarks<T extends HeatCell>(
  cells: readonly T[],
  { x, y }: { readonly x: keyof T & string; readonly y: keyof T & string },
): Plot.Markish[] {
  const text = { x, y, text: "text", fontSize: 10.5 } as const;
  return [
    Plot.cell(cells, { x, y, fill: "var(--grid)", fillOpacity: 0.45, rx: 2 }),
    Plot.cell(cells, {
      ...{ x, y, fill: "var(--heat)", rx: 2, title: "title" },
      fillOpacity: ({ value }: T) => 0.04 + 0.92 * value,
    }),
    Plot.text(
      cells.filter(({ value }) => value < DEEP),
      { ...text, fill: "var(--ink)" },
    ),
    Plot.text(
      cells.filter(({ value }) => value >= DEEP),
      { ...text, fill: "var(--on-heat)" },
    ),
  ];
}
