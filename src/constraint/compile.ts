import { printValue } from "../base/print-value.ts";
import { type Alphabet, analyse, type Program } from "./analyse.ts";
import type { ConstraintSpec, SequenceItem } from "./constraint.ts";
import { JsonParts } from "./json-parts.ts";
import { LIMITS, refuse } from "./limits.ts";
import { asSchema } from "./plain-schema.ts";
import { GrammarBuilder, type Part } from "./program.ts";
import { compilePattern } from "./regex.ts";
import { SchemaCompiler } from "./schema.ts";

/** Compiles a spec for a vocabulary. @throws RequestError for a spec that is wrong, too large, or that no text satisfies */
export function compileSpec(spec: ConstraintSpec, alphabet: Alphabet): Program {
  const builder = new GrammarBuilder();
  const compiler = new SpecCompiler(builder, alphabet);
  try {
    const rule = builder.newRule();
    builder.define(rule, compiler.item(spec, "constraint", true));
    return analyse(builder.build(), alphabet);
  } catch (error) {
    if (error instanceof RangeError) throw refuse("compiling", "it nests too deep; use a flatter one", error);
    throw error;
  }
}

class SpecCompiler {
  readonly #builder: GrammarBuilder;
  readonly #alphabet: Alphabet;
  readonly #json: JsonParts;
  #depth = 0;

  constructor(builder: GrammarBuilder, alphabet: Alphabet) {
    this.#builder = builder;
    this.#alphabet = alphabet;
    this.#json = new JsonParts(builder);
  }

  /** isWhole: nothing stands before it, so that white space may. */
  item(item: SequenceItem, where: string, isWhole = false): Part {
    const b = this.#builder;
    const [kind] = Object.keys(item);
    const place = `${where}.${kind}`;
    if ("text" in item) return b.text(item.text);
    if ("marker" in item)
      return this.#alphabet.hasMarker(item.marker) ? b.marker(item.marker) : b.text(item.marker);
    if ("anyOf" in item)
      return this.#nested(() => b.anyOf(item.anyOf.map((one) => this.#sequence(one, place))));
    if ("repeat" in item)
      return this.#nested(() => {
        const one = this.#sequence(item.repeat, place);
        const next = b.sequence([this.#sequence(item.between, place), one]);
        return b.sequence([one, b.repeat(next, 0)]);
      });
    if ("sequence" in item) return this.#nested(() => this.#sequence(item.sequence, place));
    if ("choice" in item) return b.anyOf(item.choice.map((text) => b.text(text)));
    if ("regex" in item)
      return compilePattern(item.regex, b, { write: (set) => b.set(set), isWhole: true, where: place });
    const value = "json" in item ? this.#json.object(this.#json.any) : this.#schema(item.schema, place);
    return isWhole ? b.sequence([this.#json.space, value]) : value;
  }

  #schema(schema: unknown, place: string): Part {
    const root = asSchema(schema, place);
    return new SchemaCompiler(this.#builder, this.#json, root).value(root, place);
  }

  #sequence(items: readonly SequenceItem[], where: string): Part {
    return this.#builder.sequence(items.map((one, i) => this.item(one, `${where}[${i}]`)));
  }

  #nested(make: () => Part): Part {
    if (++this.#depth > LIMITS.schemaDepth) throw refuse("compiling", "its sequences nest too deep");
    const part = make();
    this.#depth--;
    return part;
  }
}

/**
 * Checks the size of a spec before anything recurses into it, and returns its text, by which equal specs share a program.
 * @throws RequestError
 */
export function specText(spec: unknown): string {
  let numValues = 0;
  let level: unknown[] = [spec];
  for (let depth = 0; level.length > 0; depth++) {
    // a level of the schema is up to two of its text, such as "properties" and a name; sequences have their own
    if (depth > 4 * LIMITS.schemaDepth)
      throw refuse("compiling", `it nests deeper than ${LIMITS.schemaDepth} levels; use a flatter schema`);
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value === "function" || typeof value === "symbol" || typeof value === "bigint")
        throw refuse("compiling", `it must be JSON, got ${printValue(value)}`);
      if (typeof value !== "object" || value === null) continue;
      for (const one of Object.values(value)) next.push(one);
      numValues += next.length > LIMITS.schemaValues ? LIMITS.schemaValues : 0;
      if (numValues + next.length > LIMITS.schemaValues)
        throw refuse("compiling", `it has more than ${LIMITS.schemaValues} values; use a smaller schema`);
    }
    numValues += next.length;
    level = next;
  }
  return JSON.stringify(spec);
}
