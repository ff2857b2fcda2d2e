import { signal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect } from "preact/hooks";
import { texts } from "../texts.ts";
import { ScrollBox } from "./scroll-box.tsx";

/** Characters of TeX up to which it is typeset: a longer one would hold up the page. */
const MAX_TEX = 4000;
/** Largest size that TeX may name, in ems: what is larger covers the page. */
const MAX_SIZE_EM = 40;

/** Turns TeX into HTML; undefined: it is not TeX. */
type Typeset = (tex: string, isDisplayed: boolean) => string | undefined;
const typeset = signal<Typeset | undefined>(undefined);
let isLoading = false;

/** KaTeX, its styles and its fonts come with the first maths of the page. */
async function loadTypeset(): Promise<void> {
  if (isLoading || typeset.value) return;
  isLoading = true;
  try {
    const [{ default: katex }] = await Promise.all([import("katex"), import("katex/dist/katex.min.css")]);
    typeset.value = (tex, displayMode) => {
      try {
        // it writes elements of its own alone, and no link or image unless it is trusted
        return katex.renderToString(tex, {
          ...{ displayMode, throwOnError: false, output: "htmlAndMathml", strict: "ignore" },
          ...{ maxSize: MAX_SIZE_EM, errorColor: "currentColor" },
        });
      } catch {
        return undefined; // nested deeper than its stack
      }
    };
  } catch {
    // TeX stays readable, and the next maths tries again
  } finally {
    isLoading = false;
  }
}

interface MathsProps {
  readonly tex: string;
  readonly isDisplayed: boolean;
  /** True while its end is not there. */
  readonly isOpen: boolean;
}

/** Maths, typeset once it has ended. Until then, and where typesetting cannot be loaded, TeX is shown. */
export const MathsView = memo(
  ({ tex, isDisplayed, isOpen }: MathsProps) => {
    const isShort = tex.length <= MAX_TEX;
    useEffect(() => {
      if (!isOpen && isShort) void loadTypeset();
    }, [isOpen, isShort]);
    const html = isOpen || !isShort ? undefined : typeset.value?.(tex, isDisplayed);
    if (html === undefined)
      return isDisplayed ? <code class="tex displayed">{tex}</code> : <code class="tex">{tex}</code>;
    // KaTeX escapes what it is given
    const maths = <span class="maths" dangerouslySetInnerHTML={{ __html: html }} />;
    if (!isDisplayed) return maths;
    return (
      <ScrollBox as="span" class="maths-box" label={texts.answer.maths}>
        {maths}
      </ScrollBox>
    );
  },
  (before, after) =>
    before.tex === after.tex && before.isDisplayed === after.isDisplayed && before.isOpen === after.isOpen,
);
