/** Figures as files of their own: SVG with fixed colours, and PNG of it. */

import { type Figure, FONT, legendMark } from "./figures/figure.ts";
import { escapeText } from "./html.ts";
import type { Series } from "./methods.ts";
import { resolveColours, type Scheme } from "./theme.ts";

const MARGIN = 16;
const GAP = 20;
const TITLE = 34;
const PANEL_TITLE = 24;
const LEGEND_LINE = 22;
const MAX_COLUMNS = 3;
/** Width of a character of 12 pixels, the widest text of a legend. */
const CHARACTER = 6.6;

/** All panels of a figure with its title and legend in one SVG document, on an opaque surface. */
export function figureSvg(figure: Figure, scheme: Scheme = "light"): string {
  const { panels } = figure;
  const columns = Math.min(MAX_COLUMNS, panels.length);
  const panelWidth = figure.panelWidth;
  const width = 2 * MARGIN + Math.max(420, columns * panelWidth + (columns - 1) * GAP);
  const legend = placeLegend(figure.legend, width);
  const top = MARGIN + TITLE + legend.height;
  const rowHeight = Math.max(...panels.map(({ height }) => height)) + PANEL_TITLE + GAP;
  const height = top + Math.ceil(panels.length / columns) * rowHeight - GAP + MARGIN;
  const placed = panels.map(({ title, svg }, i) => {
    const x = MARGIN + (i % columns) * (panelWidth + GAP);
    const y = top + Math.floor(i / columns) * rowHeight;
    return textAt({ x, y: y + 13, size: 13, weight: 600 }, title) + nested(svg, { x, y: y + PANEL_TITLE });
  });
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="${FONT}" role="img" aria-label="${escapeText(figure.title)}">`,
    `<title>${escapeText(figure.title)}</title><desc>${escapeText(figure.caption)}</desc>`,
    `<rect width="${width}" height="${height}" fill="var(--surface)"/>`,
    textAt({ x: MARGIN, y: MARGIN + 15, size: 17, weight: 600 }, figure.title),
    ...legend.parts,
    ...placed,
    "</svg>",
  ].join("\n");
  return resolveColours(svg, scheme);
}

/** Entries from left to right in as many lines as they need. */
function placeLegend(series: readonly Series[], width: number): { parts: string[]; height: number } {
  let [x, line] = [MARGIN, 0];
  const parts = series.map((one) => {
    const entry = 38 + CHARACTER * one.label.length + 16;
    if (x > MARGIN && x + entry > width - MARGIN) [x, line] = [MARGIN, line + 1];
    const y = MARGIN + TITLE + line * LEGEND_LINE;
    const part =
      nested(legendMark(one), { x, y: y - 3 }) +
      textAt({ x: x + 36, y: y + 8, size: 12, weight: 400 }, one.label);
    x += entry;
    return part;
  });
  return { parts, height: series.length === 0 ? 0 : (line + 1) * LEGEND_LINE + 4 };
}

function nested(svg: string, { x, y }: { readonly x: number; readonly y: number }): string {
  return svg.replace(/^<svg /, () => `<svg x="${x}" y="${y}" overflow="visible" `);
}

function textAt(
  {
    x,
    y,
    size,
    weight,
  }: { readonly x: number; readonly y: number; readonly size: number; readonly weight: number },
  text: string,
): string {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="var(--ink)">${escapeText(text)}</text>`;
}
