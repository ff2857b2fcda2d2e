import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnswerStream, type Block } from "./answer-stream.ts";

/** A clock that stands: nothing is slow. */
const still = () => 0;

/** Types of the blocks, without the space between them. */
const typesOf = (blocks: readonly Block[]) =>
  blocks.map(({ token }) => token.type).filter((type) => type !== "space");
const rawOf = (blocks: readonly Block[]) => blocks.map(({ token }) => token.raw).join("");
const read = (text: string, isStreaming = false) => new AnswerStream(still).read(text, isStreaming);
/** The blocks after each character of a text. */
function* streamed(text: string) {
  const stream = new AnswerStream(still);
  for (let length = 1; length <= text.length; length++)
    yield { shown: stream.read(text.slice(0, length), true), text: text.slice(0, length) };
}

const PIECES = [
  ...[
    "# Head\n",
    "Some *words* and **more**\n",
    "- one\n- two\n  - deep\n",
    "1. first\n2. second\n",
    "\n",
    "\n\n",
  ],
  ...[
    "```js\nlet a = `x$`;\n\n- b\n```\n",
    "| a | b |\n|---|:-:|\n| $x$ | `y` |\n",
    "> quoted\n> more\n",
    "---\n",
  ],
  ...[
    "$$\na\n= b\n- c\n$$\n",
    "\\[\nx\n\\]\n",
    "so $x_1$ costs $5 and $6\n",
    "\\(a*b\\) and *c*\n",
    "    code\n",
  ],
  ...[
    "\\begin{align}\na\n\\end{align}\n",
    "<div>\n*a*\n</div>\n",
    "[a](https://b.c) ![d](e)\n",
    "[r]: https://x.y\n",
  ],
  ...[
    "see [r]\n",
    "- [ ] open\n- [x] done\n",
    "a\\\n",
    "$x",
    "\\boxed{1",
    "**b",
    "`c",
    "~~~\nz\n",
    "&amp; &lt;\n",
  ],
];

test("the end of a stream has the blocks of the whole text, whatever the pieces", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }),
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
      (pieces, steps) => {
        const text = pieces.join("");
        const stream = new AnswerStream(still);
        for (let at = 0, i = 0; at < text.length; i++) {
          at += steps[i % steps.length] ?? 1;
          stream.read(text.slice(0, at), true);
        }
        const tokens = stream.read(text, false).map(({ token }) => token);
        const whole = read(text).map(({ token }) => token);
        expect(tokens).toEqual(whole);
        expect(rawOf(read(text))).toBe(text);
      },
    ),
    { numRuns: 400 },
  );
});

describe("while it comes", () => {
  test("a block of code is one from its first line on, and shows no fence", () => {
    for (const { shown, text } of streamed("See:\n\n```python\nprint('a')\n```\n\nDone")) {
      const [, , code] = shown.map(({ token }) => token);
      if (text.length <= "See:\n\n```python".length) expect(typesOf(shown)).toEqual(["paragraph"]);
      else expect(code?.type).toBe("code");
      if (code?.type === "code") {
        expect(code.lang).toBe("python");
        expect("print('a')").toContain(code.text.trimEnd());
      }
      for (const { token } of shown) if (token.type === "paragraph") expect(token.raw).not.toContain("`");
    }
  });

  test("a table is never a paragraph", () => {
    for (const { shown } of streamed("Values:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"))
      for (const { token } of shown) if (token.type === "paragraph") expect(token.raw).not.toContain("|");
  });

  test("a line of text does not become a heading or a list for a moment", () => {
    const seen = new Set<string>();
    for (const { shown } of streamed("Steps\n- one\n- two\n\n1. a\n2. b\n\n**bold** and *it*"))
      for (const type of typesOf(shown)) seen.add(type);
    expect([...seen].sort()).toEqual(["list", "paragraph"]);
  });

  test("displayed maths is maths from its mark on, and nothing of it is Markdown", () => {
    for (const mark of [
      ["$$", "$$"],
      ["\\[", "\\]"],
    ] as const)
      for (const { shown } of streamed(`So:\n\n${mark[0]}\na\n= b\n- c * d * e\n${mark[1]}\n\nDone`)) {
        const types = typesOf(shown);
        expect(types.slice(0, 2)).toEqual(types.length === 1 ? ["paragraph"] : ["paragraph", "maths"]);
        const [paragraph] = shown;
        expect("So:").toContain(paragraph?.token.raw.trim());
      }
  });

  test("marks of emphasis, code and links are not shown, and the words are as they will be", () => {
    for (const { shown } of streamed(
      "It is **very bold** and `some code` by [a site](https://a.example/b_c).",
    )) {
      const [{ token } = { token: undefined }] = shown;
      const inner = token?.type === "paragraph" ? (token.tokens ?? []) : [];
      for (const one of inner) if (one.type === "text") expect(one.raw).not.toMatch(/[*`[\]]/);
    }
  });

  test("a star within maths ends no emphasis", () => {
    const [block] = read("*a \\(b*c\\) d* and **e $f**g$ h**");
    const inner = block?.token.type === "paragraph" ? block.token.tokens : [];
    expect(inner?.map(({ type }) => type)).toEqual(["em", "text", "strong"]);
  });

  test("a text that begins otherwise is another answer", () => {
    const stream = new AnswerStream(still);
    stream.read("# One\n\ntwo\n\nthree", true);
    expect(typesOf(stream.read("- four", true))).toEqual(["list"]);
  });

  test("a text that has not changed has the same blocks", () => {
    const stream = new AnswerStream(still);
    const blocks = stream.read("# One\n\ntwo", false);
    expect(stream.read("# One\n\ntwo", false)).toBe(blocks);
    expect(stream.read("# One\n\ntwo", true)).not.toBe(blocks);
  });

  test("definitions at the end give links before them their addresses", () => {
    const stream = new AnswerStream(still);
    const text = "see [r] now\n\nmore\n\n[r]: https://x.y\n";
    for (let length = 1; length <= text.length; length++) stream.read(text.slice(0, length), true);
    expect(JSON.stringify(stream.read(text, false))).toContain('"type":"link"');
  });
});

test("code and prices have no maths", () => {
  const text = "It costs $5 and $6, `a $b$ c`.\n\n```\n$x$ \\(y\\)\n$$z$$\n```\n\n    $a$\n";
  expect(JSON.stringify(read(text))).not.toContain('"type":"maths"');
  expect(JSON.stringify(read("It is $5$ and \\(x\\)"))).toContain('"type":"maths"');
});

test("no HTML is a token of its own, but a line break is", () => {
  const text =
    "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)> a<br>b <!-- c -->\n\n<div>\n\n| <b>a |\n|---|\n| x<br/>y |\n";
  const json = JSON.stringify(read(text));
  expect(json).not.toContain('"type":"html"');
  expect(json.match(/"type":"br"/g)).toHaveLength(2);
});

/** Inputs that take a lexer of Markdown the square of their length, or more stack than there is. */
const HOSTILE: Readonly<Record<string, string>> = {
  quotes: ">".repeat(20_000),
  brackets: "[".repeat(20_000),
  "an address without an end": `${"a.".repeat(10_000)}@`,
  spaces: `a${" ".repeat(20_000)}b`,
  angles: "<".repeat(20_000),
  stars: "*a **a ".repeat(3000),
  "links in links": "[a](".repeat(5000),
  maths: "\\( ".repeat(5000),
  dollars: "$a ".repeat(5000),
  boxes: "\\boxed{ ".repeat(2500),
  definitions: "[a]: b\n".repeat(2000),
};

test.each(Object.entries(HOSTILE))("%s: read in less than five seconds, and shown", (_, text) => {
  const started = performance.now();
  const blocks = read(text);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(rawOf(blocks).length).toBeGreaterThanOrEqual(text.length - 1);
  read(text, true);
});

test("after a slow update the text waits, so that the page has most of the time", () => {
  let at = 0;
  const stream = new AnswerStream(() => (at += 50)); // each look at the clock finds 50 ms gone
  expect(rawOf(stream.read("a", true))).toBe("a");
  expect(rawOf(stream.read("a b", true))).toBe("a");
  at += 400;
  expect(rawOf(stream.read("a b c", true))).toBe("a b c");
  expect(rawOf(stream.read("a b c d", false))).toBe("a b c d");
});
