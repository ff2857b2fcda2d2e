import { viewTexts } from "../run/view-texts.ts";
import type { OriginCounts } from "./chosen-step.ts";
import { NUM_HEAD_COLOURS } from "./palette.ts";

const texts = viewTexts.selection;

/** What the colours mean: of all steps, or of a chosen one. counts: of the chosen selection; hasSets: one set a head group */
export function Legend({
  isStep,
  counts,
  hasSets,
}: {
  readonly isStep: boolean;
  readonly counts: OriginCounts | undefined;
  readonly hasSets: boolean;
}) {
  return (
    <div class="selection-legend">
      {isStep ? <StepColours counts={counts} hasSets={hasSets} /> : <HeatColours />}
      <ul aria-label={texts.legend}>
        {(["prompt", "sinks", "window", "answer"] as const).map((mark) => (
          <li key={mark}>
            <span class={`mark mark-${mark}`} /> {texts[mark]}
          </li>
        ))}
      </ul>
    </div>
  );
}

function HeatColours() {
  return (
    <ul aria-label={texts.legend}>
      <li>
        <span class="ramp ramp-often" /> {texts.often}
      </li>
      <li>
        <span class="ramp ramp-ages" /> {texts.ages}
      </li>
    </ul>
  );
}

function StepColours({
  counts,
  hasSets,
}: {
  readonly counts: OriginCounts | undefined;
  readonly hasSets: boolean;
}) {
  const { head, set, kept, unnamed, seen, unseen } = viewTexts.step;
  const { number } = viewTexts;
  return (
    <ul aria-label={viewTexts.step.heads}>
      {!counts && <Swatch colour="var(--selection-recent)" name={seen} />}
      {counts?.heads.map((tokens, i) => (
        <Swatch
          key={i}
          colour={`var(--selection-head-${i % NUM_HEAD_COLOURS})`}
          name={(hasSets ? set : head)(i)}
          tokens={number(tokens)}
        />
      ))}
      {counts && counts.unnamed > 0 && (
        <Swatch colour="var(--selection-recent)" name={unnamed} tokens={number(counts.unnamed)} />
      )}
      {counts && counts.kept > 0 && (
        <Swatch colour="var(--selection-kept)" name={kept} tokens={number(counts.kept)} />
      )}
      <Swatch colour="var(--selection-cell)" name={unseen} />
    </ul>
  );
}

function Swatch({
  colour,
  name,
  tokens,
}: {
  readonly colour: string;
  readonly name: string;
  readonly tokens?: string;
}) {
  return (
    <li>
      <span class="swatch" style={{ background: colour }} /> {name}
      {tokens !== undefined && <b> {tokens}</b>}
    </li>
  );
}
