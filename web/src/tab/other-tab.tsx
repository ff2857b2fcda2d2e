import { texts } from "../texts.ts";

/** Says that another tab has the page, and offers to take it over. */
export function OtherTab({
  state,
  onTake,
}: {
  readonly state: "other" | "taken";
  readonly onTake: () => void;
}) {
  const [heading, text] =
    state === "other" ? [texts.tab.otherHeading, texts.tab.other] : [texts.tab.takenHeading, texts.tab.taken];
  return (
    <main class="blocking">
      <h1>{heading}</h1>
      <p>{text}</p>
      <button type="button" class="primary" onClick={onTake}>
        {texts.tab.useHere}
      </button>
    </main>
  );
}
