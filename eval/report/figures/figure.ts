/** Panels of figures: Observable Plot on a document without a browser. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom/worker";
import { escapeText } from "../html.ts";
import type { Series } from "../methods.ts";

export interface Figure {
  /** Names its files and its place on the page. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly panels: readonly Panel[];
  /** Series that the panels show, in order. */
  readonly legend: readonly Series[];
  /** Panels of few columns, such as heat maps, are narrower. */
  readonly panelWidth: number;
}

export interface Panel {
  readonly title: string;
  /** Says in words what the panel shows, for those who do not see it. */
  readonly alt: string;
  /** An SVG element whose colours are variables of the theme. */
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

export const PANEL = { width: 400, height: 290 } as const;
export const FONT = "system-ui, sans-serif";
export const FONT_SIZE = 12;

const { document } = parseHTML("<!doctype html><html><body></body></html>");

export interface PanelOptions {
  readonly title: string;
  readonly alt: string;
  readonly plot: Plot.PlotOptions;
}

/** Plots a panel. */
export function makePanel({ title, alt, plot }: PanelOptions): Panel {
  const { width = PANEL.width, height = PANEL.height } = plot;
  const svg = plotElement({ ...plot, width, height });
  // The document does not escape "<" in attributes, which XML forbids there.
  const named = svg.outerHTML.replace(/^<svg /, () => `<svg role="img" aria-label="${escapeText(alt)}" `);
  return { title, alt, width, height, svg: named };
}

/** Position of a value of the data in a plot, in pixels. */
export type Placing = (x: number, y: number) => readonly [x: number, y: number];

/** How a plot places its data, for marks that depend on pixels. */
export function placingOf(plot: Plot.PlotOptions): Placing {
  const element = plotElement({ width: PANEL.width, height: PANEL.height, ...plot });
  const [x, y] = [element.scale("x"), element.scale("y")];
  return (dataX, dataY) => [Number(x?.apply(dataX)), Number(y?.apply(dataY))];
}

/** The line and symbol of a series, as an SVG element of 30 by 14. */
export function legendMark({ colour, symbol, dash }: Series): string {
  const line = { stroke: colour, strokeWidth: 2, ...(dash !== undefined && { strokeDasharray: dash }) };
  const svg = plotElement({
    ...{ width: 30, height: 14, margin: 0, axis: null },
    x: { domain: [0, 30] },
    y: { domain: [0, 14] },
    marks: [
      Plot.ruleY([7], { x1: 1, x2: 29, ...line }),
      Plot.dot([[15, 7]], { symbol, r: 4, fill: colour, stroke: "var(--surface)", strokeWidth: 1 }),
    ],
  });
  svg.setAttribute("aria-hidden", "true");
  return svg.outerHTML;
}

function plotElement(options: Plot.PlotOptions) {
  const element = Plot.plot({ document, style: { fontSize: `${FONT_SIZE}px` }, ...options });
  // The page forbids style attributes and style elements of parts; its own style sheet has what they say.
  for (const style of element.querySelectorAll("style")) style.remove();
  for (const styled of [element, ...element.querySelectorAll("[style]")]) styled.removeAttribute("style");
  element.removeAttribute("class");
  element.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  element.setAttribute("font-size", String(FONT_SIZE));
  element.setAttribute("font-family", FONT);
  element.setAttribute("fill", "var(--ink-2)");
  return element;
}

export { Plot };
