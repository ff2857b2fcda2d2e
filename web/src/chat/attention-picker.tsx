import { useId } from "preact/hooks";
import { change, settings } from "../settings.ts";
import { texts, tokens } from "../texts.ts";
import {
  ATTENTION_KINDS,
  type AttentionChoice,
  BUDGETS,
  faultOf,
  hasBudget,
  specOf,
} from "./attention-choice.ts";

/** Chooses the attention of the next run. */
export function AttentionPicker() {
  const id = useId();
  const { attention } = settings.value;
  const set = (some: Partial<AttentionChoice>) => change({ attention: { ...attention, ...some } });
  const fault = faultOf(attention);
  return (
    <>
      <div class="field">
        <label for={`${id}-kind`}>{texts.composer.attention}</label>
        <select
          id={`${id}-kind`}
          value={attention.kind}
          onChange={({ currentTarget: { value } }) => set({ kind: value, spec: specOf(attention) })}
        >
          {[...ATTENTION_KINDS.map(({ name }) => name), "spec"].map((name) => (
            <option key={name} value={name}>
              {texts.composer.attentionName(name)}
            </option>
          ))}
        </select>
      </div>
      {hasBudget(attention) && (
        <div class="field wide">
          <label for={`${id}-budget`}>
            {texts.composer.budget} <span class="value">{tokens(attention.budget)}</span>
          </label>
          <input
            id={`${id}-budget`}
            type="range"
            {...BUDGETS}
            value={attention.budget}
            aria-valuetext={tokens(attention.budget)}
            onInput={({ currentTarget }) => set({ budget: Number(currentTarget.value) })}
          />
        </div>
      )}
      {attention.kind === "spec" && (
        <div class="field wide">
          <label for={`${id}-spec`}>{texts.composer.spec}</label>
          <input
            id={`${id}-spec`}
            type="text"
            spellcheck={false}
            value={attention.spec}
            aria-invalid={fault !== undefined}
            aria-describedby={`${id}-fault`}
            onInput={({ currentTarget }) => set({ spec: currentTarget.value })}
          />
          <p id={`${id}-fault`} class="notes" role="status">
            {fault}
          </p>
        </div>
      )}
    </>
  );
}
