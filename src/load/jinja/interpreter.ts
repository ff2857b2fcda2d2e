import type { Expression, MacroShape, Statement, Target } from "./ast.ts";
import { Budget, TemplateRuntimeError } from "./budget.ts";
import { Expressions } from "./expressions.ts";
import { globalNames, setInNamespace } from "./globals.ts";
import { Loop } from "./loop.ts";
import { Scope } from "./scope.ts";
import {
  type Arguments,
  Callable,
  Dict,
  Namespace,
  orUndefined,
  printed,
  Tuple,
  toList,
  truth,
  type Value,
  walk,
} from "./values.ts";

class BreakSignal extends Error {}
class ContinueSignal extends Error {}

/**
 * Renders a parsed template.
 * @throws TemplateRuntimeError, TemplateLimitError
 */
export function render(
  template: readonly Statement[],
  variables: ReadonlyMap<string, Value>,
  budget = new Budget(),
  now = () => new Date(),
): string {
  const globals = new Scope(undefined);
  for (const [name, value] of globalNames(budget, now)) globals.set(name, value);
  const context = new Scope(globals);
  for (const [name, value] of variables) context.set(name, value);
  return new Interpreter(budget).text(template, new Scope(context));
}

class Interpreter {
  readonly #budget: Budget;
  readonly #expressions: Expressions;

  constructor(budget: Budget) {
    this.#budget = budget;
    this.#expressions = new Expressions(budget);
  }

  /** Runs statements and returns the text that they print. */
  text(body: readonly Statement[], scope: Scope): string {
    const parts: string[] = [];
    this.#run(body, scope, parts);
    this.#budget.text(parts.reduce((sum, part) => sum + part.length, 0));
    return parts.join("");
  }

  #run(body: readonly Statement[], scope: Scope, out: string[]): void {
    for (const statement of body) {
      this.#budget.spend();
      this.#statement(statement, scope, out);
    }
  }

  #print(text: string, out: string[]): void {
    this.#budget.text(text.length);
    out.push(text);
  }

  #statement(node: Statement, scope: Scope, out: string[]): void {
    switch (node.kind) {
      case "data":
        this.#print(node.text, out);
        return;
      case "print":
        this.#print(printed(this.#expressions.evaluate(node.value, scope), this.#budget), out);
        return;
      case "if": {
        const isTrue = truth(this.#expressions.evaluate(node.test, scope));
        this.#run(isTrue ? node.body : node.otherwise, scope, out);
        return;
      }
      case "for":
        this.#for(node, this.#expressions.evaluate(node.values, scope), scope, 0, out);
        return;
      case "set":
        this.#assign(node.target, this.#expressions.evaluate(node.value, scope), scope);
        return;
      case "set-block": {
        const text = this.text(node.body, new Scope(scope));
        this.#assign(node.target, this.#filtered(node.filter, text, scope), scope);
        return;
      }
      case "filter-block": {
        const text = this.text(node.body, new Scope(scope));
        this.#print(printed(this.#filtered(node.filter, text, scope), this.#budget), out);
        return;
      }
      case "macro":
        scope.set(node.macro.name ?? "", this.#macro(node.macro, scope));
        return;
      case "call-block":
        this.#callBlock(node, scope, out);
        return;
      case "scope":
        this.#run(node.body, new Scope(scope), out);
        return;
      case "with":
        this.#with(node, scope, out);
        return;
      case "break":
        throw new BreakSignal();
      case "continue":
        throw new ContinueSignal();
    }
  }

  #filtered(filter: Expression | undefined, text: string, scope: Scope): Value {
    return filter ? this.#expressions.applyFilter(filter, text, scope) : text;
  }

  #with(node: Statement & { kind: "with" }, scope: Scope, out: string[]): void {
    const inner = new Scope(scope);
    const values = node.pairs.map(([, value]) => this.#expressions.evaluate(value, scope));
    for (const [i, [target]] of node.pairs.entries()) this.#assign(target, values[i], inner);
    this.#run(node.body, inner, out);
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === "name") {
      scope.set(target.name, value);
      return;
    }
    if (target.kind === "namespace") {
      const namespace = scope.get(target.name);
      if (!(namespace instanceof Namespace))
        throw new TemplateRuntimeError("cannot assign attribute on non-namespace object");
      setInNamespace(namespace, target.attribute, value);
      return;
    }
    const values = toList(value, this.#budget);
    const wanted = target.items.length;
    if (values.length > wanted)
      throw new TemplateRuntimeError(`too many values to unpack (expected ${wanted})`);
    if (values.length < wanted)
      throw new TemplateRuntimeError(
        `not enough values to unpack (expected ${wanted}, got ${values.length})`,
      );
    for (const [i, item] of target.items.entries()) this.#assign(item, values[i], scope);
  }

  #for(node: Statement & { kind: "for" }, values: Value, scope: Scope, depth: number, out: string[]): void {
    const recurse = (inner: Value): Value => {
      const parts: string[] = [];
      this.#for(node, inner, scope, depth + 1, parts);
      return parts.join("");
    };
    const loop = new Loop(this.#items(node, values, scope), depth, node.isRecursive ? recurse : undefined);
    let isEmpty = true;
    while (loop.next()) {
      this.#budget.spend();
      const inner = new Scope(scope);
      inner.set("loop", loop);
      this.#assign(node.target, loop.current, inner);
      try {
        this.#run(node.body, inner, out);
      } catch (signal) {
        if (signal instanceof BreakSignal) break;
        if (signal instanceof ContinueSignal) continue;
        throw signal;
      }
      isEmpty = false; // as in Jinja, items skipped by `continue` do not count
    }
    if (isEmpty) this.#run(node.otherwise, new Scope(scope), out);
  }

  *#items(node: Statement & { kind: "for" }, values: Value, scope: Scope): Iterable<Value> {
    for (const item of walk(values)) {
      this.#budget.spend();
      if (node.test) {
        const inner = new Scope(scope);
        this.#assign(node.target, item, inner);
        if (!truth(this.#expressions.evaluate(node.test, inner))) continue;
      }
      yield item;
    }
  }

  #macro(macro: MacroShape, scope: Scope): Callable {
    return new Callable("Macro", (args) => {
      const inner = new Scope(scope);
      this.#bind(macro, args, inner);
      return this.text(macro.body, inner);
    });
  }

  #bind({ name, parameters, special }: MacroShape, args: Arguments, scope: Scope): void {
    const shown = name === undefined ? "None" : `'${name}'`;
    const keyword = new Map(args.keyword);
    const caller = keyword.get("caller");
    const isParameter = parameters.some((parameter) => parameter.name === "caller");
    if (special.has("caller") && !isParameter) {
      scope.set("caller", orUndefined(caller, "No caller defined"));
      keyword.delete("caller");
    }
    const pending: (() => void)[] = [];
    for (const [i, { name: parameter, byDefault }] of parameters.entries()) {
      const given = i < args.positional.length ? args.positional[i] : keyword.get(parameter);
      if (i >= args.positional.length) keyword.delete(parameter);
      scope.set(parameter, orUndefined(given, `parameter '${parameter}' was not provided`));
      if (given === undefined && byDefault)
        pending.push(() => scope.set(parameter, this.#expressions.evaluate(byDefault, scope)));
    }
    const extra = args.positional.slice(parameters.length);
    if (special.has("kwargs")) scope.set("kwargs", dictOf(keyword));
    else if (keyword.size > 0)
      throw new TemplateRuntimeError(`macro ${shown} takes no keyword argument '${[...keyword.keys()][0]}'`);
    if (special.has("varargs")) scope.set("varargs", new Tuple(extra));
    else if (extra.length > 0)
      throw new TemplateRuntimeError(`macro ${shown} takes not more than ${parameters.length} argument(s)`);
    for (const evaluate of pending) evaluate();
  }

  #callBlock(node: Statement & { kind: "call-block" }, scope: Scope, out: string[]): void {
    if (node.call.kind !== "call")
      throw new TemplateRuntimeError(`a call was expected, got ${node.call.kind}`);
    const args = this.#expressions.arguments(node.call.args, scope);
    const keyword = new Map([...args.keyword, ["caller", this.#macro(node.macro, scope)] as const]);
    const callee = this.#expressions.evaluate(node.call.callee, scope);
    this.#print(printed(this.#expressions.call(callee, { ...args, keyword }), this.#budget), out);
  }
}

function dictOf(values: ReadonlyMap<string, Value>): Dict {
  const dict = new Dict();
  for (const [key, value] of values) dict.set(key, value);
  return dict;
}
