import { signal, useSignal, useSignalEffect } from "@preact/signals";
import { useId } from "preact/hooks";
import { chat, engines, model, runSettings } from "../page-state.ts";
import { texts } from "../texts.ts";
import { drawProblem, lengthsOf, type SizedProblem, TASK_NAMES, type TaskName } from "./problem-maker.ts";

/** What is drawn: kept when a conversation begins and another is started. */
const wanted = signal<{ readonly task: TaskName; readonly length: number; readonly seed: number }>({
  task: "variables",
  length: 2048,
  seed: 1,
});

/** A problem of a kind and a length that a person chooses, ready to be solved. */
export function ProblemCard() {
  const id = useId();
  const problem = useSignal<SizedProblem | undefined>(undefined);
  const fault = useSignal<string | undefined>(undefined);
  useSignalEffect(() => {
    const asked = wanted.value;
    if (engines.state.value.phase !== "ready") return;
    engines.ready().then(
      ({ tokenizer }) => {
        if (asked !== wanted.value) return; // another was asked for meanwhile
        try {
          problem.value = drawProblem(asked, tokenizer);
          fault.value = undefined;
        } catch (error) {
          fault.value = String(error);
        }
      },
      () => {}, // the line of the engine tells it
    );
  });
  const { task, length } = wanted.value;
  const lengths = lengthsOf(task);
  const set = (some: Partial<typeof wanted.value>) => {
    const next = { ...wanted.value, ...some };
    const [longest] = lengthsOf(next.task).slice(-1);
    wanted.value = { ...next, length: Math.min(next.length, longest ?? next.length) };
  };
  const solve = () => {
    const { value: drawn } = problem;
    if (!drawn) return;
    void chat.send(drawn.problem, runSettings(), { problem: { task: drawn.task, answer: drawn.answer } });
  };
  return (
    <section class="problem" aria-labelledby={`${id}-heading`}>
      <h2 id={`${id}-heading`}>{texts.problems.heading}</h2>
      <div class="row">
        <fieldset class="segments">
          <legend class="for-readers">{texts.problems.task}</legend>
          {TASK_NAMES.map((name) => (
            <label key={name}>
              <input
                type="radio"
                name={`${id}-task`}
                checked={name === task}
                onChange={() => set({ task: name })}
              />
              {texts.problems.taskName(name)}
            </label>
          ))}
        </fieldset>
        <select
          aria-label={texts.problems.length}
          value={String(length)}
          onChange={({ currentTarget }) => set({ length: Number(currentTarget.value) })}
        >
          {lengths.map((one) => (
            <option key={one} value={String(one)}>
              {texts.problems.lengthOf(one)}
            </option>
          ))}
        </select>
        <button type="button" class="quiet" onClick={() => set({ seed: wanted.value.seed + 1 })}>
          {texts.problems.another}
        </button>
      </div>
      <p>{texts.problems.about(task)}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard */}
      <section class="preview" tabIndex={0} aria-label={texts.problems.preview}>
        {fault.value ?? problem.value?.problem ?? texts.problems.waiting}
      </section>
      <div class="row">
        <button type="button" class="primary" disabled={!problem.value} onClick={solve}>
          {texts.problems.solve}
        </button>
        {problem.value && (
          <p>{texts.problems.expects(problem.value.promptTokens, problem.value.reasoningTokens)}</p>
        )}
      </div>
      {!model.value.readsOneMessage && <p>{texts.problems.onlyThese}</p>}
    </section>
  );
}
