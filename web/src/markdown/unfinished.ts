/** The end of an answer that is still coming: what is shown of a block whose marks are not all there. */
import remend from "remend";
import { mathsSpans, withoutMaths } from "./maths.ts";

/** What remend completes. The rest of what it can do replaces text, or is about maths. */
const COMPLETED = { bold: true, boldItalic: true, italic: true, inlineCode: true, strikethrough: true };
const NOT_COMPLETED = {
  ...{ links: false, images: false, katex: false, htmlTags: false },
  ...{ setextHeadings: false, singleTilde: false, comparisonOperators: false },
};
/** A fence that may become longer, or the name of its language. */
const FENCE = /(?:^|\n)[ \t>]*(?:`{1,2}|~{1,2}|(?:`{3,}|~{3,})[^\n`]*)$/;
/** A line that may become a bullet, a heading, a rule, or an underline. */
const BEGINNING = /(?:^|\n)[ \t>]*(?:[-=+*#]+|\d{1,9}[.)])[ \t]*$/;
/** Marks that may be the first of several. */
const MARKS = /[`*_~$\\!]+$/;
/** A line break of a table. */
const TAG = /<(?:br? ?\/?)?$/i;
/** A link or an image without its address. */
const LINK = /!?\[[^\]\n]{0,100}(?:\](?:\([^()\s]{0,1000})?)?$/;
/** The head of a table, until its second line has ended. */
const TABLE_HEAD = /(?:^|\n)[ \t]*\|[^\n]*(?:\n[|:\- \t]*)?$/;

/** The second line of a table. */
const TABLE = /\n[ \t]*\|?[ \t]*:?-[-|: \t]*\n/;
const CODE = /^ {0,3}(?:`{3,}|~{3,})/;
const CODE_END = /\n {0,3}(?:`{3,}|~{3,})[ \t]*(?:\n|$)/;

/** The text of the last block to show: without the beginning of what cannot be told yet, and with the marks that end its emphasis. */
export function shownOf(block: string): string {
  if (CODE.test(block) && !CODE_END.test(block)) return shownOfCode(block);
  let shown = block.replace(FENCE, "").replace(BEGINNING, "");
  if (!TABLE.test(shown)) shown = shown.replace(TABLE_HEAD, "");
  if (isInMaths(shown)) return shown.replace(/\\$/, "");
  shown = shown.replace(MARKS, "").replace(TAG, "").replace(LINK, "");
  if (isInMaths(shown)) return shown;
  shown = shown.trimEnd(); // no emphasis ends with a space
  const masked = withoutMaths(shown);
  const mended = remend(masked, { ...COMPLETED, ...NOT_COMPLETED });
  return mended.startsWith(masked) ? shown + mended.slice(masked.length) : shown;
}

/** Code without half of its last fence; nothing before the line with its language has ended. */
function shownOfCode(block: string): string {
  return block.includes("\n") ? block.replace(/\n[ \t>]*(?:`{1,2}|~{1,2})$/, "") : "";
}

function isInMaths(text: string): boolean {
  return mathsSpans(text).at(-1)?.maths.isOpen === true;
}
