import { expect, test } from "vitest";
import { compilePattern, patternRunners, type TextPattern } from "../../src/load/tokenizer/pattern.ts";
import { place } from "../place/here.ts";

interface Golden {
  readonly pattern: string;
  /** [text, pieces] */
  readonly cases: readonly (readonly [string, readonly string[]])[];
}

const goldens: readonly Golden[] = JSON.parse(await place.readText("test/golden/patterns.json"));

function cut(pattern: TextPattern, text: string): readonly string[] {
  const pieces: string[] = [];
  let from = 0;
  for (const [start, end] of pattern.spans(text)) {
    pieces.push(text.slice(from, start), text.slice(start, end));
    from = end;
  }
  return [...pieces, text.slice(from)].filter((piece) => piece !== "");
}

test.each(goldens)("$pattern splits texts as Oniguruma does", ({ pattern, cases }) => {
  const bounded = patternRunners.bounded(pattern);
  const chosen = compilePattern(pattern, "a file");
  for (const [text, pieces] of cases) {
    expect(cut(bounded, text), JSON.stringify(text)).toEqual(pieces);
    expect(cut(chosen, text), JSON.stringify(text)).toEqual(pieces);
  }
});
