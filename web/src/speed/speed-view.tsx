import { type ChartSeries, LineChart } from "../chart/line-chart.tsx";
import type { RunRecord } from "../run/run-record.ts";
import { useRecord } from "../run/use-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { FigureTable } from "./figure-table.tsx";
import { ratioAtEnd, SMOOTHED_TOKENS, speedPoints, speedRows } from "./speed-points.ts";
import "../selection/selection-view.css";
import "./speed-view.css";
import { RunHeadings } from "./run-headings.tsx";

export interface SpeedViewProps {
  readonly record: RunRecord;
  /** A run of the same prompt under another attention, to compare with. */
  readonly peer?: RunRecord | undefined;
}

const texts = viewTexts.speed;
const TABLE_ROWS = 8;
const COLOURS = ["var(--speed-run)", "var(--speed-peer)"] as const;

/** Milliseconds a token by position, of a run and of another one of the same prompt, and the figures of both. */
export function SpeedView({ record, peer }: SpeedViewProps) {
  useRecord(record);
  useRecord(peer);
  const runs = peer ? [record, peer] : [record];
  const points = speedPoints(runs);
  const hasPoints = points.x.length > 1;
  const ratio = peer && ratioAtEnd(record, peer);
  const series = runs.flatMap(({ attention }, i): ChartSeries[] => {
    const colour = COLOURS[i] ?? COLOURS[0];
    return [
      {
        label: `${attention}, tokens`,
        colour: `color-mix(in srgb, ${colour} 45%, transparent)`,
        shape: "dots",
        y: points.raw[i] ?? [],
      },
      { label: attention, colour, shape: "line", y: points.smooth[i] ?? [] },
    ];
  });
  return (
    <section class="speed-view" aria-label={texts.heading}>
      <h2>{texts.heading}</h2>
      <ul class="chart-legend">
        {runs.map(({ attention }, i) => (
          <li key={i}>
            <span class="swatch" style={{ background: COLOURS[i] }} /> {attention}
          </li>
        ))}
      </ul>
      {hasPoints ? (
        <LineChart
          label={texts.chart(runs.map(describe).join(" "))}
          x={points.x}
          series={series}
          yRange={[0, points.maxMs]}
          {...{ xLabel: texts.position, yLabel: texts.axis, height: 240 }}
        />
      ) : (
        <p>{texts.empty}</p>
      )}
      {ratio !== undefined && peer?.attention === "full" && <p class="speed-ratio">{texts.ratio(ratio)}</p>}
      <p class="speed-note">
        {[
          texts.mean(SMOOTHED_TOKENS),
          points.x.length < points.numTokens && texts.thinned(points.x.length, points.numTokens),
          points.numAbove > 0 && texts.above(points.numAbove),
          runs.some(({ observes }) => observes === "selection") && texts.watched,
        ]
          .filter(Boolean)
          .join(" ")}
      </p>
      <FigureTable runs={runs} />
      {hasPoints && (
        <details>
          <summary>{texts.table}</summary>
          <TimeTable runs={runs} />
        </details>
      )}
    </section>
  );
}

function describe(run: RunRecord): string {
  const ms = run.times.meanOfLast(SMOOTHED_TOKENS);
  return `${run.attention}: ${ms === undefined ? texts.empty : texts.milliseconds(ms)}.`;
}

/** The text alternative of the chart. */
function TimeTable({ runs }: { readonly runs: readonly RunRecord[] }) {
  return (
    <table>
      <RunHeadings first={texts.bucket} runs={runs} />
      <tbody>
        {speedRows(runs, TABLE_ROWS).map(({ from, to, ms }) => (
          <tr key={from}>
            <th scope="row">{`${viewTexts.number(from)}–${viewTexts.number(to)}`}</th>
            {ms.map((one, i) => (
              <td key={i}>{one === undefined ? "" : texts.milliseconds(one)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
