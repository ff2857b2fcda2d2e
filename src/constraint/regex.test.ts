import { describe, expect, it } from "vitest";
import {
  acceptsText,
  byteTokenizer,
  openTokenizer,
  openVocabulary,
  randomFrom,
  startTrial,
  walk,
} from "../../test/constraint/trial.ts";
import { createTokenizer } from "../load/tokenizer.ts";

const vocabulary = await openVocabulary(byteTokenizer());
const open = (regex: string) => startTrial({ regex }, vocabulary);

/** Patterns, and texts to try beside those that walks make. */
const PATTERNS: readonly (readonly [string, readonly string[]])[] = [
  ["abc", ["abc", "ab", "abcd", ""]],
  ["a*b+c?", ["b", "aabbc", "ac", "bcc"]],
  ["(?:ab|cd){2,3}", ["abcd", "ab", "ababab", "abababab"]],
  ["[a-f\\d]{4}(?:-[A-F_]{1,2})?", ["12af", "12ag", "0000-A_", "0000-"]],
  ["\\w+@\\w+\\.[a-z]{2,3}", ["me@here.org", "me@here", "é@b.co"]],
  ["[^a-z]", ["A", "é", "a", "\n", "😀", "AB"]],
  [".", ["a", "\n", "😀", "\u2028", "\r"]],
  ["\\s\\S\\D\\W", [" ab-", "\u00a0ab-", "aab-"]],
  ["[😀-😎]{2}x", ["😀😎x", "😀x", "😏😀x"]],
  ["\\p{Lu}\\p{Ll}*", ["Émile", "émile", "Ω", "Ωμ"]],
  ["\\P{L}", ["1", "a", "é", "😀"]],
  ["\\u00e9\\x41\\u{1F600}\\t\\0", ["éA😀\t\0", "eA😀\t\0"]],
  ["^a|b$", ["a", "b", "ab"]],
  ["(^a$|^b$)", ["a", "b", "ab", ""]],
  ["(?<year>\\d{4})-\\d\\d", ["2026-11", "2026-1"]],
  ["a{0}b{2}c{1,}", ["bbc", "abbc", "bbccc", "bb"]],
  ["(a|aa)*?b", ["b", "aaab", "aaa"]],
  ["(?:)x|", ["", "x", "xx"]],
  ["[\\]\\-\\\\^]", ["]", "-", "\\", "^", "a"]],
  ["[^]", ["\n", "a", "ab"]],
  ["(?=a)[a-c]{2}", ["ab", "ba", "a", "abc"]],
  ["^(?!ab)(?!.*cc$)[a-c\\n]{1,4}$", ["abc", "acb", "cc", "acc", "bcca", "b\ncc", "c"]],
  ["(?=.*\\d)(?=.*[a-zé]).{3,5}", ["a1-", "é-9", "abc", "123", "a1", "a1----"]],
  ["(a?){12}a{12}", ["a".repeat(12), "a".repeat(24), "a".repeat(25), "a".repeat(11)]],
];

describe("a regex constraint", () => {
  it.each(PATTERNS)("accepts what %s of ECMAScript matches as a whole, and nothing else", (source, texts) => {
    const trial = open(source);
    const wanted = new RegExp(`^(?:${source})$`, "u");
    const random = randomFrom(7);
    const walked = Array.from({ length: 20 }, () => walk(trial, random));
    for (const text of walked) expect(text, "of a walk").toMatch(wanted);
    // texts of walks with one character more, less, or another, are near the border
    const near = walked.flatMap((text) => [text.slice(1), `${text}a`, text.replace(/./u, "-")]);
    for (const text of [...texts, ...near]) expect(acceptsText(trial, text), text).toBe(wanted.test(text));
  });

  it("refuses half of a character", () => {
    const { constraint } = open("[é-ü]");
    expect(constraint.accept(0xc3)).toBe(true);
    expect(constraint.isComplete).toBe(false);
    expect(constraint.accept(0x41)).toBe(false);
    expect(constraint.accept(0xa9)).toBe(true);
    expect(constraint.isComplete).toBe(true);
  });

  it.each([
    ["(a", "not closed"],
    ["a)", "not opened"],
    ["[a", "not closed"],
    ["*a", "nothing stands before"],
    ["a**", "repeated"],
    ["a(?=b)b", "only at the start of the text"],
    ["(?=a)b", "no text"],
    ["(?=(?!a)b)b", "only at the start of the text"],
    ["(?<!a)b", "looks around"],
    ["(?i)a", "flags"],
    ["(a)\\1", "\\1"],
    ["a\\b", "\\b"],
    ["a^b", "only at the start and the end"],
    ["[z-a]", "before it begins"],
    ["a{3,2}", "less than"],
    ["\\p{Nothing}", "unknown"],
    ["\\ud800", "surrogate"],
    ["\\", "ends in a backslash"],
    ["[]", "no text"],
  ])("refuses %s with the reason", (source, reason) => {
    expect(() => open(source)).toThrow(reason);
    expect(() => open(source)).toThrow(expect.objectContaining({ name: "RequestError" }));
  });
});

describe("a choice", () => {
  it("accepts its texts alone, one of which begins another", async () => {
    const trial = startTrial(
      { choice: ["yes", "yes, but", "né"] },
      await openVocabulary(byteTokenizer(["yes", "es, b"])),
    );
    for (const text of ["yes", "yes, but", "né"]) expect(acceptsText(trial, text)).toBe(true);
    for (const text of ["", "ye", "yes,", "no", "yes, butt"]) expect(acceptsText(trial, text)).toBe(false);
    const random = randomFrom(1);
    const walked = new Set(Array.from({ length: 60 }, () => walk(trial, random)));
    expect([...walked].sort()).toEqual(["né", "yes", "yes, but"]);
  });
});

describe("a vocabulary without some bytes", () => {
  const names = ["a", "b", "bc", "<end>"];
  const vocab = Object.fromEntries(names.map((name, id) => [name, id]));
  const json = {
    model: { type: "BPE", vocab, merges: [] },
    added_tokens: [{ id: 3, content: "<end>", special: true }],
    decoder: { type: "ByteLevel" },
  };

  it("writes what its tokens can finish, and refuses what they cannot", async () => {
    const few = await openVocabulary(createTokenizer(json, {}, "few"));
    const random = randomFrom(6);
    for (let i = 0; i < 20; i++)
      expect(walk(startTrial({ regex: "(b|a)*bcd|b{2}|ac|bb" }, few), random)).toBe("bb");
    expect(() => startTrial({ regex: "ac" }, few)).toThrow("no text of this vocabulary satisfies it");
    expect(() => startTrial({ json: true }, few)).toThrow("no text of this vocabulary satisfies it");
  });
});

describe.each([
  "llama2",
  "unigram",
])("a vocabulary like %s, whose output loses a space at its start", async (kind) => {
  const lossy = await openVocabulary(openTokenizer(kind));
  const open = (regex: string) => startTrial({ regex }, lossy, "</s>");

  it("writes what the text matches, spaces included", () => {
    const random = randomFrom(12);
    for (const regex of ["(?: a| b|c)d", "[a-c]{1,2} [a-c]"])
      for (let i = 0; i < 20; i++)
        expect(walk(open(regex), random)).toMatch(new RegExp(`^(?:${regex})$`, "u"));
  });

  it("refuses what no token can begin", () => {
    expect(() => open(" d")).toThrow("no token of this vocabulary can begin it");
  });
});
