import type { CallArguments, Expression } from "./ast.ts";
import { Attributes } from "./attributes.ts";
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import type { FilterContext } from "./filter.ts";
import { filterNamed } from "./filters.ts";
import { Loop } from "./loop.ts";
import { binary, compares, negative } from "./operators.ts";
import type { Scope } from "./scope.ts";
import { testNamed } from "./tests.ts";
import {
  type Arguments,
  Callable,
  Dict,
  known,
  orUndefined,
  printed,
  str,
  Tuple,
  toList,
  truth,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Evaluates expressions in a scope. */
export class Expressions implements FilterContext {
  readonly budget: Budget;
  readonly attributes: Attributes;

  constructor(budget: Budget) {
    this.budget = budget;
    this.attributes = new Attributes(budget);
  }

  evaluate(node: Expression, scope: Scope): Value {
    this.budget.spend();
    switch (node.kind) {
      case "constant":
        return node.value;
      case "name":
        return orUndefined(scope.get(node.name), `'${node.name}' is undefined`);
      case "list":
        return node.items.map((item) => this.evaluate(item, scope));
      case "tuple":
        return new Tuple(node.items.map((item) => this.evaluate(item, scope)));
      case "concat":
        return this.#concat(node.items, scope);
      case "dict":
        return this.#dict(node.pairs, scope);
      case "attribute":
        return this.attributes.attribute(this.evaluate(node.object, scope), node.name);
      case "item":
        return this.attributes.item(this.evaluate(node.object, scope), this.evaluate(node.key, scope));
      case "slice":
        return this.#slice(node, scope);
      case "call":
        return this.call(this.evaluate(node.callee, scope), this.arguments(node.args, scope));
      case "filter":
        return this.applyFilter(node, undefined, scope);
      case "test":
        return this.#test(node, scope);
      default:
        return this.#operation(node, scope);
    }
  }

  #operation(node: Expression, scope: Scope): Value {
    switch (node.kind) {
      case "not":
        return !truth(this.evaluate(node.value, scope));
      case "negative":
        return negative(this.evaluate(node.value, scope), "-");
      case "positive":
        return negative(this.evaluate(node.value, scope), "+");
      case "and": {
        const left = this.evaluate(node.left, scope);
        return truth(left) ? this.evaluate(node.right, scope) : left;
      }
      case "or": {
        const left = this.evaluate(node.left, scope);
        return truth(left) ? left : this.evaluate(node.right, scope);
      }
      case "binary": {
        const left = this.evaluate(node.left, scope);
        return binary(node.operator, left, this.evaluate(node.right, scope), this.budget);
      }
      case "compare":
        return this.#compare(node, scope);
      case "condition":
        if (truth(this.evaluate(node.test, scope))) return this.evaluate(node.value, scope);
        if (node.otherwise) return this.evaluate(node.otherwise, scope);
        return new Undefined("the inline if-expression evaluated to false and no else section was defined.");
      default:
        throw new TemplateRuntimeError(`'${node.kind}' is no operation`);
    }
  }

  #concat(items: readonly Expression[], scope: Scope): string {
    const parts = items.map((item) => printed(this.evaluate(item, scope), this.budget));
    this.budget.text(parts.reduce((sum, part) => sum + part.length, 0));
    return parts.join("");
  }

  #dict(pairs: readonly (readonly [Expression, Expression])[], scope: Scope): Dict {
    const dict = new Dict();
    for (const [key, value] of pairs) dict.set(this.evaluate(key, scope), this.evaluate(value, scope));
    return dict;
  }

  #slice(node: Expression & { kind: "slice" }, scope: Scope): Value {
    const object = this.evaluate(node.object, scope);
    const [start, stop, step] = node.bounds.map((bound) => (bound ? this.evaluate(bound, scope) : null));
    return this.attributes.slice(object, start ?? null, stop ?? null, step ?? null);
  }

  #compare(node: Expression & { kind: "compare" }, scope: Scope): boolean {
    let left = this.evaluate(node.first, scope);
    for (const [operator, expression] of node.rest) {
      const right = this.evaluate(expression, scope);
      if (!compares(operator, left, right, this.budget)) return false;
      left = right;
    }
    return true;
  }

  arguments(args: CallArguments, scope: Scope): Arguments {
    const positional = args.positional.map((one) => this.evaluate(one, scope));
    if (args.spread) positional.push(...toList(this.evaluate(args.spread, scope), this.budget));
    const keyword = new Map(args.keyword.map(([name, one]) => [name, this.evaluate(one, scope)] as const));
    if (args.keywordSpread) {
      const more = this.evaluate(args.keywordSpread, scope);
      if (!(more instanceof Dict)) throw new TemplateRuntimeError("argument after ** must be a mapping");
      for (const [key, value] of more.entries()) keyword.set(str(key, this.budget), value);
    }
    return { positional, keyword };
  }

  call(callee: Value, args: Arguments): Value {
    known(callee);
    this.budget.spend();
    if (callee instanceof Callable || callee instanceof Loop)
      return this.budget.nested(() => callee.call(args));
    throw new TemplateRuntimeError(`'${typeName(callee)}' object is not callable`);
  }

  /** Applies a filter expression. body: the innermost value, in a filter block. */
  applyFilter(node: Expression, body: Value, scope: Scope): Value {
    if (node.kind !== "filter") return this.evaluate(node, scope);
    const value =
      node.value === undefined
        ? body
        : body === undefined
          ? this.evaluate(node.value, scope)
          : this.applyFilter(node.value, body, scope);
    return this.filter(node.name, value, this.arguments(node.args, scope));
  }

  #test(node: Expression & { kind: "filter" | "test" }, scope: Scope): boolean {
    const value = node.value && this.evaluate(node.value, scope);
    return this.test(node.name, value, this.arguments(node.args, scope));
  }

  filter(name: string, value: Value, args: Arguments): Value {
    return this.budget.nested(() => filterNamed(name)(value, args, this));
  }

  test(name: string, value: Value, args: Arguments): boolean {
    if (name === "filter" || name === "test") return this.#isName(name, value);
    return testNamed(name)(value, args, this.budget);
  }

  #isName(kind: "filter" | "test", value: Value): boolean {
    try {
      (kind === "filter" ? filterNamed : testNamed)(str(value, this.budget));
      return true;
    } catch {
      return false;
    }
  }
}
