import { useId } from "preact/hooks";
import type { Thinking } from "../conversations/conversation.ts";
import { change, settings } from "../settings.ts";
import { texts, tokens } from "../texts.ts";

const BUDGETS = { min: 100, max: 8000, step: 100 } as const;
const FIRST_BUDGET = 1000;

/** Chooses whether the model thinks before it answers, and how long. */
export function ThinkingPicker() {
  const id = useId();
  const { thinking } = settings.value;
  const choose = (kind: string) => {
    const chosen: Thinking =
      kind === "off" ? { kind } : kind === "budget" ? { kind, tokens: FIRST_BUDGET } : { kind: "free" };
    change({ thinking: chosen });
  };
  return (
    <>
      <div class="field">
        <label for={`${id}-kind`}>{texts.composer.thinking}</label>
        <select
          id={`${id}-kind`}
          value={thinking.kind}
          onChange={({ currentTarget }) => choose(currentTarget.value)}
        >
          <option value="free">{texts.composer.thinkingFree}</option>
          <option value="budget">{texts.composer.thinkingBudget}</option>
          <option value="off">{texts.composer.thinkingOff}</option>
        </select>
      </div>
      {thinking.kind === "budget" && (
        <div class="field wide">
          <label for={`${id}-tokens`}>
            {texts.composer.thinkingTokens} <span class="value">{tokens(thinking.tokens)}</span>
          </label>
          <input
            id={`${id}-tokens`}
            type="range"
            {...BUDGETS}
            value={thinking.tokens}
            aria-valuetext={tokens(thinking.tokens)}
            onInput={({ currentTarget }) =>
              change({ thinking: { kind: "budget", tokens: Number(currentTarget.value) } })
            }
          />
        </div>
      )}
    </>
  );
}
