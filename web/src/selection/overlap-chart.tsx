import { bucketMeans, meanOf } from "../chart/buckets.ts";
import { LineChart } from "../chart/line-chart.tsx";
import type { RunRecord } from "../run/run-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { NUM_HEAD_COLOURS } from "./palette.ts";

const texts = viewTexts.overlap;
/** Points of a line, and rows of the table. */
const MAX_POINTS = 240;
const TABLE_ROWS = 8;

/** The overlap of each selecting layer's selections with those of the step before, by position. */
export function OverlapChart({
  record,
  cursor,
  onChoose,
}: {
  readonly record: RunRecord;
  readonly cursor: number | undefined;
  readonly onChoose: (position: number) => void;
}) {
  const { overlaps } = record;
  const first = Math.min(...overlaps.map(({ positions }) => positions.at(0)));
  const last = Math.max(...overlaps.map(({ positions }) => positions.at(positions.length - 1)));
  const hasPoints = overlaps.length > 0 && last > first;
  const lines = hasPoints
    ? overlaps.map(({ positions, values }) =>
        bucketMeans(positions.view(), values.view(), [first, last], MAX_POINTS),
      )
    : [];
  const means = overlaps
    .map(({ layer, values }) => `${texts.layer(layer)} ${viewTexts.percent(meanOf(values.view()))}`)
    .join(", ");
  return (
    <section class="overlap" aria-label={texts.heading}>
      <h3>{texts.heading}</h3>
      <p>{hasPoints ? texts.about : texts.empty}</p>
      {hasPoints && (
        <>
          <ul class="chart-legend">
            {overlaps.map(({ layer }, i) => (
              <li key={layer}>
                <span class="swatch" style={{ background: colourOf(i) }} /> {texts.layer(layer)}
              </li>
            ))}
          </ul>
          <LineChart
            label={texts.chart(means)}
            x={lines[0]?.x ?? []}
            series={lines.map(({ y }, i) => ({
              ...{ label: texts.layer(overlaps[i]?.layer ?? 0), colour: colourOf(i), shape: "line", y },
            }))}
            yRange={[0, 1]}
            {...{ xLabel: viewTexts.speed.position, yLabel: "", height: 150 }}
            mark={cursor}
            onPick={(x) =>
              onChoose(Math.round(Math.max(record.promptLength, Math.min(record.length - 1, x))))
            }
          />
          <details>
            <summary>{texts.table}</summary>
            <OverlapTable record={record} range={[first, last]} />
          </details>
        </>
      )}
    </section>
  );
}

function OverlapTable({
  record,
  range,
}: {
  readonly record: RunRecord;
  readonly range: readonly [number, number];
}) {
  const columns = record.overlaps.map(({ positions, values }) =>
    bucketMeans(positions.view(), values.view(), range, TABLE_ROWS),
  );
  const width = (range[1] - range[0] + 1) / Math.max(1, columns[0]?.x.length ?? 1);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{texts.tokens}</th>
          {record.overlaps.map(({ layer }) => (
            <th scope="col" key={layer}>
              {texts.layer(layer)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {columns[0]?.x.map((middle, row) => (
          <tr key={row}>
            <th scope="row">
              {`${viewTexts.number(Math.ceil(middle + 0.5 - width / 2))}–${viewTexts.number(Math.floor(middle + width / 2))}`}
            </th>
            {columns.map(({ y }, i) => (
              <td key={i}>{typeof y[row] === "number" ? viewTexts.percent(y[row]) : ""}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function colourOf(series: number): string {
  return `var(--selection-head-${series % NUM_HEAD_COLOURS})`;
}
