import { useId, useState } from "preact/hooks";
import type { RunRecord } from "../run/run-record.ts";
import type { KeptSelection } from "../run/selection-bytes.ts";
import type { ObservedSelections } from "../run/selection-log.ts";
import { viewTexts } from "../run/view-texts.ts";
import { type LayerGroup, listLayers, type SelectedToken, selectorOf } from "./chosen-step.ts";

interface StepDetailProps {
  readonly record: RunRecord;
  /** Of the chosen token. */
  readonly position: number;
  /** The step shown; undefined for a token of the prompt, and before any step was seen. */
  readonly step: ObservedSelections | undefined;
  readonly groups: readonly LayerGroup[];
  readonly group: LayerGroup | undefined;
  readonly selection: KeptSelection | undefined;
  readonly tokens: readonly SelectedToken[] | undefined;
  readonly onGroup: (index: number) => void;
  readonly onChoose: (position: number | undefined) => void;
}

const texts = viewTexts.step;

/** What the layers of a step saw: groups of layers to choose from, and the chosen group's tokens as a table. */
export function StepDetail(props: StepDetailProps) {
  const { record, position, step, groups, group, selection, tokens, onGroup, onChoose } = props;
  const name = useId();
  const move = (by: number) => {
    const next = record.selections.neighbour(step?.position ?? position, by);
    if (next !== undefined) onChoose(next);
  };
  return (
    <div class="step-detail">
      <div class="step-head">
        <h3>{texts.heading(position)}</h3>
        <button type="button" onClick={() => move(-1)} aria-label={texts.previous} title={texts.previous}>
          ←
        </button>
        <button type="button" onClick={() => move(1)} aria-label={texts.next} title={texts.next}>
          →
        </button>
        <button type="button" onClick={() => onChoose(undefined)}>
          {texts.close}
        </button>
      </div>
      {!step && (
        <p>{position < record.promptLength ? viewTexts.selection.promptToken : viewTexts.selection.noStep}</p>
      )}
      {step && step.position !== position && <p>{texts.nearest(step.position)}</p>}
      {step && !step.isSparse && <p>{texts.dense}</p>}
      {step?.isSparse && (
        <fieldset class="step-layers">
          <legend>{texts.layers}</legend>
          {groups.map((one, i) => (
            <label key={one.layers.join()}>
              <input type="radio" name={name} checked={one === group} onChange={() => onGroup(i)} />
              <span class="step-layers-name">
                {texts.layer(listLayers(one.layers), one.layers.length === 1)}
              </span>
              <span>{describe(one, groups, step)}</span>
            </label>
          ))}
        </fieldset>
      )}
      {step && tokens && (
        <TokenTable
          key={`${step.position} ${group?.selection}`}
          record={record}
          tokens={tokens}
          hasSets={(selection?.sets.length ?? 0) > 1}
        />
      )}
    </div>
  );
}

function describe(group: LayerGroup, groups: readonly LayerGroup[], step: ObservedSelections): string {
  const { sees, window, selection, selects } = group;
  const length = step.position + 1;
  const sets = selection === undefined ? [] : (step.selections[selection]?.sets ?? []);
  const chosen = Math.max(0, ...sets.map((set) => set.length));
  if (sees === "window") return texts.slides(Math.min(window ?? 0, length));
  if (sees === "all") return selects ? texts.selects(chosen) : texts.all(length);
  const by = selectorOf(groups, group);
  return `${texts.selected(chosen, length)}${by === undefined || selects ? "" : `, ${texts.chosenBy(by)}`}`;
}

/** The text alternative of the strip's colours; its rows are made when it is opened. */
function TokenTable({
  record,
  tokens,
  hasSets,
}: {
  readonly record: RunRecord;
  readonly tokens: readonly SelectedToken[];
  readonly hasSets: boolean;
}) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{texts.table}</summary>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is reached by the keyboard
        <section class="table-scroller" tabIndex={0} aria-label={texts.table}>
          <table>
            <thead>
              <tr>
                <th scope="col">{texts.columns.position}</th>
                <th scope="col">{texts.columns.text}</th>
                <th scope="col">{texts.columns.by}</th>
              </tr>
            </thead>
            <tbody>
              {tokens.map(({ position, heads }) => (
                <tr key={position}>
                  <td>{viewTexts.number(position)}</td>
                  <td>{viewTexts.quoted(record.textAt(position))}</td>
                  <td>{heads.map((head) => nameOf(head, hasSets)).join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  );
}

function nameOf(head: number | undefined, hasSets: boolean): string {
  if (head === undefined) return texts.unnamed;
  if (head < 0) return texts.kept;
  return hasSets ? texts.set(head) : texts.head(head);
}
