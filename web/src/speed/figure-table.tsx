import type { RunRecord } from "../run/run-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { RunHeadings } from "./run-headings.tsx";
import { SMOOTHED_TOKENS } from "./speed-points.ts";

const texts = viewTexts.speed;

/** Figures of runs, one column each, and of the engine that has run them. */
export function FigureTable({ runs }: { readonly runs: readonly RunRecord[] }) {
  const engine = runs.find((run) => run.engine)?.engine;
  const rows: readonly (readonly [string, (run: RunRecord) => string])[] = [
    [texts.tokens, (run) => `${viewTexts.number(run.times.length)} (${stateOf(run)})`],
    [texts.recent(SMOOTHED_TOKENS), (run) => milliseconds(run.times.meanOfLast(SMOOTHED_TOKENS))],
    [texts.rate, (run) => rate(run.times.meanOfLast(SMOOTHED_TOKENS))],
    [texts.first, (run) => milliseconds(run.times.firstMs)],
    [
      texts.attended,
      (run) => (run.attendedFraction === undefined ? "–" : viewTexts.percent(run.attendedFraction)),
    ],
    [texts.cache, (run) => (run.cacheBytes === undefined ? "–" : texts.megabytes(run.cacheBytes))],
  ];
  return (
    <div class="figures-of-runs">
      <table aria-label={texts.figures}>
        <RunHeadings first={texts.run} runs={runs} />
        <tbody>
          {rows.map(([name, figure]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {runs.map((run, i) => (
                <td key={i}>{figure(run)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {engine && (
        <dl class="engine-figures">
          <dt>{texts.backend}</dt>
          <dd>
            {engine.backend.name}: {engine.backend.description}
          </dd>
          <dt>{texts.why}</dt>
          <dd>{engine.backend.why}</dd>
          <dt>{texts.weights}</dt>
          <dd>{texts.megabytes(engine.backend.weightBytes)}</dd>
        </dl>
      )}
    </div>
  );
}

function stateOf({ state, times }: RunRecord): string {
  return state === "running" && times.length === 0 ? texts.state.waiting : texts.state[state];
}

function milliseconds(ms: number | undefined): string {
  return ms === undefined ? "–" : texts.milliseconds(ms);
}

function rate(ms: number | undefined): string {
  return ms === undefined ? "–" : (1000 / ms).toFixed(1);
}
