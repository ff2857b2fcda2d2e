import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./line-chart.css";

export interface ChartSeries {
  readonly label: string;
  /** A CSS colour, such as `var(--speed-run)`; resolved where the chart is. */
  readonly colour: string;
  /** line: a line without points; dots: points without a line. */
  readonly shape: "line" | "dots";
  /** By index of `x`; null: none. */
  readonly y: readonly (number | null)[];
}

interface LineChartProps {
  /** What the chart says, for those who do not see it. */
  readonly label: string;
  /** Ascending. */
  readonly x: readonly number[];
  readonly series: readonly ChartSeries[];
  readonly yRange: readonly [least: number, most: number];
  readonly xLabel: string;
  readonly yLabel: string;
  /** CSS pixels. */
  readonly height: number;
  /** An x with a line through the chart. */
  readonly mark?: number | undefined;
  /** Called with the x at which the chart was clicked. */
  readonly onPick?: (x: number) => void;
}

const DOT_SIZE = 3;

/** A chart of lines and dots by uPlot, which is loaded with the first chart. It takes new data without being made anew. */
export function LineChart(props: LineChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const key = JSON.stringify([
    props.series.map(({ label, shape }) => [label, shape]),
    props.xLabel,
    props.yLabel,
  ]);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    let isClosed = false;
    let end = () => {};
    void import("uplot").then(({ default: UPlot }) => {
      if (isClosed) return;
      const make = () => {
        chart.current?.destroy();
        chart.current = new UPlot(optionsOf(element, latest), dataOf(latest.current), element);
      };
      make();
      const sizes = new ResizeObserver(() =>
        chart.current?.setSize({ width: element.clientWidth, height: latest.current.height }),
      );
      sizes.observe(element);
      const dark = matchMedia("(prefers-color-scheme: dark)");
      dark.addEventListener("change", make);
      const theme = new MutationObserver(make);
      theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
      end = () => {
        sizes.disconnect();
        theme.disconnect();
        dark.removeEventListener("change", make);
        chart.current?.destroy();
        chart.current = undefined;
      };
    });
    return () => {
      isClosed = true;
      end();
    };
  }, [key]);
  useEffect(() => chart.current?.setData(dataOf(props)));

  return (
    <div
      class="line-chart"
      ref={host}
      role="img"
      aria-label={props.label}
      style={{ minHeight: `${props.height}px` }}
    />
  );
}

function dataOf({ x, series }: LineChartProps): uPlot.AlignedData {
  return [[...x], ...series.map(({ y }) => [...y])];
}

function optionsOf(element: HTMLElement, latest: { readonly current: LineChartProps }): uPlot.Options {
  const colourOf = colours(element);
  const { series, height, xLabel, yLabel } = latest.current;
  const axis = (label: string, size: number): uPlot.Axis => ({
    ...{
      label,
      size,
      labelSize: 16,
      gap: 4,
      font: "11px system-ui, sans-serif",
      labelFont: "11px system-ui, sans-serif",
    },
    stroke: colourOf("var(--chart-text)"),
    grid: { stroke: colourOf("var(--chart-grid)"), width: 1 },
    ticks: { show: false },
  });
  return {
    width: Math.max(120, element.clientWidth),
    height,
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { range: () => [...latest.current.yRange] } },
    axes: [axis(xLabel, 30), axis(yLabel, 44)],
    series: [
      {},
      ...series.map(({ label, colour, shape }): uPlot.Series => {
        const stroke = colourOf(colour);
        return shape === "line"
          ? { label, stroke, width: 2, spanGaps: true, points: { show: false } }
          : {
              label,
              stroke,
              width: 0,
              paths: () => null,
              points: { show: true, size: DOT_SIZE, width: 0, fill: stroke },
            };
      }),
    ],
    hooks: {
      draw: [(plot) => drawMark(plot, latest.current.mark, colourOf("var(--chart-text)"))],
      ready: [
        (plot) =>
          plot.over.addEventListener("click", (event) => {
            if (plot.data[0].length > 0) latest.current.onPick?.(plot.posToVal(event.offsetX, "x"));
          }),
      ],
    },
  };
}

function drawMark({ ctx, bbox, valToPos, data }: uPlot, mark: number | undefined, colour: string): void {
  if (mark === undefined || data[0].length === 0) return;
  const x = valToPos(mark, "x", true);
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** Resolves CSS colours where an element is: canvases know no custom properties. */
function colours(element: HTMLElement): (colour: string) => string {
  return (colour) => {
    const probe = document.createElement("span");
    probe.hidden = true;
    probe.style.color = colour;
    element.append(probe);
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  };
}
