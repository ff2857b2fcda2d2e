/** Random JSON Schemas of the keywords that constraints support, alone and combined. */

type Random = () => number;

const NAMES = ["a", "b", "a b", "é", '"', "ab"];
const PATTERNS = ["^[a-c]{2}", "^\\d+(\\.\\d{2})?$", "^[^a-z]", "^(ab|cd)*$", '^"|^\\n'];
const FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "email"];
const VALUES: readonly unknown[] = [1, 0, -2, 2.5, "a", "é\n", true, false, null, [1], { a: 1 }, "", [], {}];

export class RandomSchemas {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A schema with two definitions that it, and they, may refer to. */
  next(): object {
    const $defs = { x: this.#schema(2), y: this.#schema(2) };
    const schema = this.#schema(3);
    return typeof schema === "boolean" ? { $defs } : { $defs, ...schema };
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#int(list.length)] as T;
  }

  /** Some keywords, with a probability. */
  #maybe(probability: number, keywords: () => object): object {
    return this.#random() < probability ? keywords() : {};
  }

  #schema(depth: number): object | boolean {
    if (depth <= 0 || this.#random() < 0.15) return this.#leaf();
    const below = () => this.#schema(depth - 1);
    const kinds: readonly (() => object)[] = [
      () => ({
        type: "string",
        ...this.#maybe(0.5, () => ({ minLength: this.#int(3) })),
        ...this.#maybe(0.5, () => ({ maxLength: 3 + this.#int(4) })),
      }),
      () => this.#number(),
      () => ({ type: "string", pattern: this.#pick(PATTERNS) }),
      () => ({ type: "string", format: this.#pick(FORMATS) }),
      () => ({
        type: "array",
        items: below(),
        ...this.#maybe(0.5, () => ({ minItems: this.#int(3) })),
        ...this.#maybe(0.5, () => ({ maxItems: 2 + this.#int(3) })),
      }),
      () => ({
        type: "array",
        prefixItems: Array.from({ length: 1 + this.#int(3) }, below),
        ...this.#maybe(0.5, () => ({ items: this.#random() < 0.4 ? false : below() })),
        ...this.#maybe(0.5, () => ({ minItems: this.#int(4) })),
      }),
      () => this.#object(below),
      () => this.#object(below),
      () => ({
        anyOf: [below(), below()],
        ...this.#maybe(0.3, () => ({ type: this.#pick(["object", "string"]) })),
      }),
      () => ({ allOf: [below(), below()] }),
      () => ({ oneOf: [below(), below()] }),
      () => ({
        $ref: this.#pick(["#/$defs/x", "#/$defs/y"]),
        ...this.#maybe(0.2, () => ({ type: "object" })),
      }),
    ];
    return this.#pick(kinds)();
  }

  #leaf(): object | boolean {
    const type = this.#pick(["string", "integer", "null", "boolean", "number"]);
    const values = [this.#pick(VALUES), this.#pick(VALUES), this.#pick(VALUES)];
    return this.#pick<object | boolean>([true, { type }, { type }, { enum: values }, { const: values[0] }]);
  }

  #number(): object {
    const low = (this.#int(4000) - 2000) / this.#pick([1, 1, 10, 100]);
    const high = low + this.#int(3000) / this.#pick([1, 10, 100]);
    return {
      type: this.#pick(["integer", "number"]),
      ...this.#maybe(0.7, () => ({ [this.#pick(["minimum", "exclusiveMinimum"])]: low })),
      ...this.#maybe(0.7, () => ({ [this.#pick(["maximum", "exclusiveMaximum"])]: high })),
    };
  }

  #object(below: () => object | boolean): object {
    const names = NAMES.filter(() => this.#random() < 0.3);
    return {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, below()])),
      required: names.filter(() => this.#random() < 0.5),
      ...this.#maybe(0.4, () => ({ additionalProperties: this.#random() < 0.4 ? false : below() })),
      ...this.#maybe(0.1, () => ({ maxProperties: this.#int(5) })),
    };
  }
}
