import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Segment, splitMaths } from "./math-segments.ts";

/** Turns TeX into HTML. */
type Typeset = (tex: string, isDisplayed: boolean) => string;
let typesetting: Promise<Typeset> | undefined;

/** KaTeX, its styles and its fonts come with the first maths of the page. */
function loadTypeset(): Promise<Typeset> {
  typesetting ??= Promise.all([import("katex"), import("katex/dist/katex.min.css")]).then(
    ([{ default: katex }]) =>
      (tex, displayMode) =>
        // "html": KaTeX writes elements of its own alone, and no link or image unless it is trusted
        katex.renderToString(tex, {
          displayMode,
          throwOnError: false,
          output: "htmlAndMathml",
          strict: "ignore",
        }),
  );
  return typesetting;
}

/** An answer, with its maths typeset once the maths has ended. Until then, and where typesetting cannot be loaded, TeX is shown. */
export function AnswerText({ text }: { readonly text: string }) {
  const typeset = useSignal<Typeset | undefined>(undefined);
  const segments = splitMaths(text);
  const needsTypeset = segments.some(({ kind }) => kind === "maths");
  useEffect(() => {
    if (!needsTypeset) return;
    loadTypeset().then(
      (loaded) => {
        typeset.value = loaded;
      },
      () => {
        typesetting = undefined; // TeX stays readable, and the next answer tries again
      },
    );
  }, [needsTypeset, typeset]);
  return (
    <div class="answer">
      {segments.map((segment, i) => (
        <SegmentView key={i} segment={segment} typeset={typeset.value} />
      ))}
    </div>
  );
}

function SegmentView({
  segment,
  typeset,
}: {
  readonly segment: Segment;
  readonly typeset: Typeset | undefined;
}) {
  if (segment.kind === "text") return <>{segment.text}</>;
  const { tex, isDisplayed } = segment;
  if (!typeset) return <code>{tex}</code>;
  // KaTeX escapes what it is given
  return <span dangerouslySetInnerHTML={{ __html: typeset(tex, isDisplayed) }} />;
}
