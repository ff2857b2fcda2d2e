import fc from "fast-check";
import { expect, test } from "vitest";
import { THINK_TAGS } from "../load/reasoning-markers.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { OutputStream } from "./output-stream.ts";
import type { PartKind } from "./request.ts";

/** A tokenizer whose ids are indices into a list of texts. It has a decode stream alone. */
function tokenizerOf(texts: readonly string[]): Tokenizer {
  const unasked = (): never => {
    throw new Error("the output asks for a stream alone");
  };
  return {
    encode: unasked,
    decode: unasked,
    decodeStream: () => ({ push: (id) => texts[id] ?? "", end: () => "" }),
    minTokens: unasked,
    tokenId: unasked,
    token: unasked,
  };
}

interface Output {
  /** The texts and token ids of the parts that each token, and then the end, completed. */
  readonly given: readonly (readonly (readonly [
    kind: PartKind,
    text: string,
    tokenIds: readonly number[],
  ])[])[];
  /** Index of the token that completed a stop text. */
  readonly stoppedAt: number | undefined;
  readonly text: string;
  readonly reasoning: string;
  readonly answer: string;
}

/** Runs tokens through an output, up to the last token or a stop text. */
function run(
  texts: readonly string[],
  stops: readonly string[] = [],
  kind: PartKind = "answer",
  keepsMarkers = false,
): Output {
  const output = new OutputStream(
    tokenizerOf(texts),
    { markers: THINK_TAGS, kind, isAfterMarker: kind === "reasoning" },
    stops,
    keepsMarkers,
  );
  const given: Output["given"][number][] = [];
  let stoppedAt: number | undefined;
  for (let id = 0; id < texts.length && stoppedAt === undefined; id++) {
    given.push(output.push(id).map((part) => [part.kind, part.text, part.tokenIds]));
    if (output.isStopped) stoppedAt = id;
  }
  given.push(output.finish().map((part) => [part.kind, part.text, part.tokenIds]));
  const { text, reasoning, answer } = output;
  return { given, stoppedAt, text, reasoning, answer };
}

test.each<[string, readonly string[], readonly string[], readonly string[], number | undefined]>([
  ["within one token", ["abENDcd"], ["END"], ["ab", ""], 0],
  ["over three tokens", ["ab", "E", "N", "D", "cd"], ["END"], ["ab", "", "", "", ""], 3],
  ["from inside one token to inside another", ["abE", "NDcd"], ["END"], ["ab", "", ""], 1],
  ["at the very start", ["E", "ND"], ["END"], ["", "", ""], 1],
  ["that does not come: what was held is given", ["aE", "N", "X"], ["END"], ["a", "", "ENX", ""], undefined],
  ["that has only begun at the end", ["aE", "N"], ["END"], ["a", "", "EN"], undefined],
  ["that begins anew inside its own beginning", ["aa", "a", "b"], ["aab"], ["", "a", "", ""], 2],
  ["with tokens of no text in it", ["aE", "", "N", "", "D"], ["END"], ["a", "", "", "", "", ""], 4],
  ["in two tokens' surrogate-pair characters", ["a😀", "😁b"], ["😀😁"], ["a", "", ""], 1],
  ["of two, the one that ends first", ["x12", "34"], ["234", "12"], ["x", ""], 0],
  ["of two that end together, the longer", ["x1", "23"], ["23", "123"], ["x", "", ""], 1],
  ["that holds white space", ["a\n", "\nb"], ["\n\n"], ["a", "", ""], 1],
])("a stop text %s", (_, texts, stops, pieces, stoppedAt) => {
  const output = run(texts, stops);
  expect(output.given.map((parts) => parts.map(([, text]) => text).join(""))).toEqual(pieces);
  expect(output.stoppedAt).toBe(stoppedAt);
  expect([output.text, output.answer]).toEqual([pieces.join(""), pieces.join("")]);
});

test.each<[string, readonly string[], readonly string[], Partial<Output>]>([
  [
    "is not looked for in reasoning",
    ["a END b", "</think>", "c END d"],
    ["END"],
    { stoppedAt: 2, reasoning: "a END b", answer: "c ", text: "a END b</think>c " },
  ],
  [
    "may be the marker itself: the request ends with the reasoning",
    ["a\n", "</think>", "b"],
    ["</think>"],
    { stoppedAt: 1, reasoning: "a", answer: "", text: "a\n" },
  ],
  [
    "may reach from the marker into the answer",
    ["a", "</think>", "\nb", "c"],
    ["</think>\nb"],
    { stoppedAt: 2, reasoning: "a", answer: "" },
  ],
  [
    "of layout alone does not end the answer right after a marker",
    ["a", "</think>", "\n\n", "b", "\n\n", "c"],
    ["\n\n"],
    { stoppedAt: 4, reasoning: "a", answer: "b" },
  ],
])("in an output that begins in reasoning a stop text %s", (_, texts, stops, expected) => {
  expect(run(texts, stops, "reasoning")).toMatchObject(expected);
});

test.each<[string, readonly string[], readonly string[], Output["given"]]>([
  ["of its own text", ["a", "b"], [], [[["answer", "a", [0]]], [["answer", "b", [1]]], []]],
  [
    "of no text: they go with the next text",
    ["", "", "a", "", "b"],
    [],
    [[], [], [["answer", "a", [0, 1, 2]]], [], [["answer", "b", [3, 4]]], []],
  ],
  [
    "held back for a stop text: they come with it when it fails",
    ["a", "E", "N", "x"],
    ["END"],
    [[["answer", "a", [0]]], [], [], [["answer", "ENx", [1, 2, 3]]], []],
  ],
  ["of a stop text: no part has them", ["a", "E", "ND"], ["END"], [[["answer", "a", [0]]], [], [], []]],
])("a part names the tokens %s", (_, texts, stops, given) => {
  expect(run(texts, stops).given).toEqual(given);
});

test("a token with reasoning, marker and answer gives two parts without the marker", () => {
  const { given, text } = run(["a", "b</think>c"], [], "reasoning");
  expect(given.flat().map(([kind, part]) => [kind, part])).toEqual([
    ["reasoning", "a"],
    ["reasoning", "b"],
    ["answer", "c"],
  ]);
  expect(text).toBe("ab</think>c");
});

test("every split of a text into tokens gives the same output, and the parts join to it", () => {
  const text = fc.array(fc.constantFrom("a", "b", " ", "\n", "中", "😀"), { maxLength: 24 });
  const stop = fc
    .array(fc.constantFrom("a", "b", "\n"), { minLength: 1, maxLength: 3 })
    .map((all) => all.join(""));
  const kinds = fc.constantFrom<PartKind>("answer", "reasoning");
  fc.assert(
    fc.property(
      text,
      fc.array(stop, { maxLength: 2 }),
      fc.array(fc.nat(4), { minLength: 1 }),
      kinds,
      (all, stops, sizes, kind) => {
        const cut: string[] = [];
        for (let from = 0, i = 0; from < all.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          cut.push(all.slice(from, from + size).join(""));
          // some tokens are empty
          from += size === 0 && i % 2 === 1 ? 1 : size;
          if (size === 0 && i % 2 === 1) cut.push(all[from - 1] ?? "");
        }
        const [whole, pieces] = [run([all.join("")], stops, kind), run(cut, stops, kind)];
        const { reasoning, answer } = pieces;
        expect({ text: pieces.text, reasoning, answer }).toEqual({
          text: whole.text,
          reasoning: whole.reasoning,
          answer: whole.answer,
        });
        const joined = (of: PartKind) =>
          pieces.given
            .flat()
            .map(([kind, part]) => (kind === of ? part : ""))
            .join("");
        expect([joined("reasoning"), joined("answer")]).toEqual([reasoning, answer]);
      },
    ),
    { numRuns: 500 },
  );
});

test.each<[string, readonly string[], readonly string[], string, number | undefined]>([
  [
    "all text",
    ["<think>", "\n", " a ", "\n", "</think>", "\n\n", "b", " "],
    [],
    "<think>\n a \n</think>\n\nb ",
    undefined,
  ],
  [
    "markers in pieces, also unfinished ones",
    ["a<thi", "nk>b</", "think", ">c</th"],
    [],
    "a<think>b</think>c</th",
    undefined,
  ],
  ["text up to a stop text in the reasoning", ["<think>", "a", "EN", "D", "b"], ["END"], "<think>a", 3],
  ["text up to a stop text over a marker", ["<think>a\n", "</think>", "b"], ["\n</think>b"], "<think>a", 2],
])("an output that keeps markers has %s", (_, texts, stops, expected, stoppedAt) => {
  for (const kind of ["answer", "reasoning"] as const) {
    const output = run(texts, stops, kind, true);
    expect([output.text, output.answer, output.reasoning]).toEqual([expected, expected, ""]);
    expect(output.stoppedAt).toBe(stoppedAt);
    const parts = output.given.flat();
    expect(parts.map(([, text]) => text).join("")).toBe(expected);
    expect(new Set(parts.map(([of]) => of))).toEqual(new Set(["answer"]));
    // what no stop text holds back comes with its token
    if (stops.length === 0) expect(output.given.slice(0, -1).map(([part]) => part?.[1])).toEqual(texts);
  }
});
