/** Parts of JSON texts. */
import { ALL_POINTS, type PointRange, points, subtract } from "./code-points.ts";
import type { GrammarBuilder, Part } from "./program.ts";

/** Code points that a JSON string holds as they are. */
const PLAIN = subtract(ALL_POINTS, [...points('"\\'), { low: 0, high: 0x1f }]);
const HEX = [
  { low: 0x30, high: 0x39 },
  { low: 0x41, high: 0x46 },
  { low: 0x61, high: 0x66 },
];
const DIGIT = [{ low: 0x30, high: 0x39 }];
const NOT_ZERO = [{ low: 0x31, high: 0x39 }];
/** Digits of a number, which JavaScript then reads exactly, and a size that no model's loop exceeds. */
const MAX_DIGITS = 15;
/** Spaces after a line break. */
const MAX_INDENT = 32;

/** Makes the parts of JSON that schemas share; each is a rule of the builder once. */
export class JsonParts {
  readonly #builder: GrammarBuilder;
  readonly #rules = new Map<string, Part>();

  constructor(builder: GrammarBuilder) {
    this.#builder = builder;
  }

  #once(name: string, make: (builder: GrammarBuilder) => Part): Part {
    let rule = this.#rules.get(name);
    if (!rule) {
      rule = this.#builder.rule(make(this.#builder));
      this.#rules.set(name, rule);
    }
    return rule;
  }

  /** Nothing, a space, or a line break with its indent. No more, since models otherwise lay out without end. */
  get space(): Part {
    return this.#once("space", (b) =>
      b.anyOf([
        (from) => from,
        b.text(" "),
        b.sequence([b.text("\n"), b.repeat(b.set(points(" \t")), 0, MAX_INDENT)]),
      ]),
    );
  }

  /** A character of a string, in any of its spellings. Surrogates come in pairs. */
  get character(): Part {
    return this.#once("character", (b) => {
      const hex = b.set(HEX);
      const digits = (text: string) => b.set(points(text));
      const inBasicPlane = b.anyOf([
        b.sequence([digits("0123456789abcefABCEF"), hex, hex, hex]),
        b.sequence([digits("dD"), digits("01234567"), hex, hex]),
      ]);
      const pair = b.sequence([
        digits("dD"),
        digits("89abAB"),
        hex,
        hex,
        b.text("\\u"),
        digits("dD"),
        digits("cdefCDEF"),
        hex,
        hex,
      ]);
      const escaped = b.anyOf([
        digits('"\\/bfnrt'),
        b.sequence([b.text("u"), b.anyOf([inBasicPlane, pair])]),
      ]);
      return b.anyOf([b.set(PLAIN), b.sequence([b.text("\\"), escaped])]);
    });
  }

  /** A string of `min` to `max` characters. */
  text(min = 0, max?: number): Part {
    const b = this.#builder;
    const quote = b.text('"');
    const make = () => b.sequence([quote, b.repeat(this.character, min, max), quote]);
    return min === 0 && max === undefined ? this.#once("text", make) : make();
  }

  /** Characters of a set inside a string, each in its shortest spelling. */
  readonly written = (set: readonly PointRange[]): Part => {
    const b = this.#builder;
    const escapes = subtract(set, PLAIN).flatMap(({ low, high }) =>
      Array.from({ length: Math.min(high, 0x5c) - low + 1 }, (_, i) =>
        b.text(JSON.stringify(String.fromCodePoint(low + i)).slice(1, -1)),
      ),
    );
    const plain = subtract(set, subtract(ALL_POINTS, PLAIN));
    if (escapes.length === 0) return b.set(plain);
    const key = `written ${set.map(({ low, high }) => `${low}-${high}`).join()}`;
    return this.#once(key, () => b.anyOf([...(plain.length > 0 ? [b.set(plain)] : []), ...escapes]));
  };

  get digits(): Part {
    return this.#builder.set(DIGIT);
  }

  /** A whole number of at most 15 digits. */
  get integer(): Part {
    return this.#once("integer", (b) => b.sequence([b.optional(b.text("-")), this.#whole(b)]));
  }

  #whole(b: GrammarBuilder): Part {
    return b.anyOf([b.text("0"), b.sequence([b.set(NOT_ZERO), b.repeat(b.set(DIGIT), 0, MAX_DIGITS - 1)])]);
  }

  /** A number with at most 15 digits on both sides of its point, and an exponent of at most two. */
  get number(): Part {
    return this.#once("number", (b) =>
      b.sequence([
        b.optional(b.text("-")),
        this.#whole(b),
        b.optional(b.sequence([b.text("."), b.repeat(b.set(DIGIT), 1, MAX_DIGITS)])),
        b.optional(
          b.sequence([b.set(points("eE")), b.optional(b.set(points("+-"))), b.repeat(b.set(DIGIT), 1, 2)]),
        ),
      ]),
    );
  }

  /** Items between brackets with commas: those of `items` in order, each present if its place says so, then any number of `more`. */
  listed(open: string, close: string, { items, more }: Listed): Part {
    const b = this.#builder;
    const comma = b.sequence([this.space, b.text(","), this.space]);
    return (from) => {
      let first: number | undefined = b.sequence([b.text(open), this.space])(from);
      let later = b.newNode();
      for (const { part, isRequired } of items) {
        const after = b.newNode();
        if (first !== undefined) b.epsilon(part(first), after);
        b.epsilon(b.sequence([comma, part])(later), after);
        if (!isRequired) b.epsilon(later, after);
        if (isRequired) first = undefined;
        later = after;
      }
      const end = b.newNode();
      if (more) {
        const loop = b.repeat(b.sequence([comma, more.part]), Math.max(0, more.min), more.max);
        b.epsilon(loop(later), end);
        if (first !== undefined) {
          if (more.min <= 0) b.epsilon(first, end);
          if (more.max === undefined || more.max > 0) {
            const max = more.max === undefined ? undefined : more.max - 1;
            const rest = b.repeat(b.sequence([comma, more.part]), Math.max(0, more.min - 1), max);
            b.epsilon(rest(more.part(first)), end);
          }
        }
      } else {
        b.epsilon(later, end);
        if (first !== undefined) b.epsilon(first, end);
      }
      // an empty list has its brackets side by side, or the one space that stands behind the opening one
      return b.sequence([this.space, b.text(close)])(end);
    };
  }

  /** Any value. */
  get any(): Part {
    const known = this.#rules.get("any");
    if (known) return known;
    const b = this.#builder;
    const rule = b.newRule();
    const any = b.call(rule);
    this.#rules.set("any", any);
    const words = ["true", "false", "null"].map((word) => b.text(word));
    b.define(rule, b.anyOf([this.object(any), this.array(any), this.text(), this.number, ...words]));
    return any;
  }

  /** An object with any keys. */
  object(value: Part): Part {
    const b = this.#builder;
    const member = b.rule(this.member(this.text(), value));
    return b.rule(this.listed("{", "}", { items: [], more: { part: member, min: 0 } }));
  }

  array(value: Part): Part {
    return this.#builder.rule(this.listed("[", "]", { items: [], more: { part: value, min: 0 } }));
  }

  member(key: Part, value: Part): Part {
    const b = this.#builder;
    return b.sequence([key, this.space, b.text(":"), this.space, value]);
  }

  /** The JSON text of one value. */
  literal(value: unknown): Part {
    const b = this.#builder;
    if (Array.isArray(value))
      return this.listed("[", "]", {
        items: value.map((one) => ({ part: this.literal(one), isRequired: true })),
      });
    if (typeof value === "object" && value !== null)
      return this.listed("{", "}", {
        items: Object.entries(value).map(([key, one]) => ({
          part: this.member(b.text(JSON.stringify(key)), this.literal(one)),
          isRequired: true,
        })),
      });
    return b.text(JSON.stringify(value));
  }
}

export interface Listed {
  readonly items: readonly { readonly part: Part; readonly isRequired: boolean }[];
  readonly more?: { readonly part: Part; readonly min: number; readonly max?: number | undefined };
}
