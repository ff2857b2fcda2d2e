import type { CallArguments, Expression, Target } from "./ast.ts";
import { MAX_DEPTH, TemplateSyntaxError } from "./budget.ts";
import type { Token } from "./lexer.ts";

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);
const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
const NO_CALL: CallArguments = { positional: [], keyword: [], spread: undefined, keywordSpread: undefined };

/** Parses expressions with Jinja's operator precedence. */
export class ExpressionParser {
  readonly #tokens: readonly Token[];
  #index = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  protected get current(): Token {
    return this.#tokens[Math.min(this.#index, this.#tokens.length - 1)] ?? { kind: "eof", text: "", line: 0 };
  }

  #ahead(): Token | undefined {
    return this.#tokens[this.#index + 1];
  }

  protected advance(): Token {
    const token = this.current;
    this.#index++;
    return token;
  }

  protected fail(message: string): never {
    throw new TemplateSyntaxError(`line ${this.current.line}: ${message}`);
  }

  protected isOperator(text: string): boolean {
    return this.current.kind === "operator" && this.current.text === text;
  }

  protected isName(text: string): boolean {
    return this.current.kind === "name" && this.current.text === text;
  }

  protected skipOperator(text: string): boolean {
    const found = this.isOperator(text);
    if (found) this.#index++;
    return found;
  }

  protected skipName(text: string): boolean {
    const found = this.isName(text);
    if (found) this.#index++;
    return found;
  }

  protected expectOperator(text: string): void {
    if (!this.skipOperator(text)) this.fail(`expected '${text}', got ${this.#shown()}`);
  }

  protected expectName(): string {
    if (this.current.kind !== "name") this.fail(`expected a name, got ${this.#shown()}`);
    return this.advance().text;
  }

  protected expectEnd(kind: "variable_end" | "block_end"): void {
    if (this.current.kind !== kind) this.fail(`expected the end of the tag, got ${this.#shown()}`);
    this.advance();
  }

  #shown(): string {
    const { kind, text } = this.current;
    return kind === "eof" ? "the end of the template" : text === "" ? kind : `'${text.slice(0, 40)}'`;
  }

  /** Parses a nested expression. Its depth limit turns a million parentheses into an error instead of a stack overflow. */
  protected nested<T>(parse: () => T): T {
    if (this.#depth >= MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} levels inside each other`);
    this.#depth++;
    const result = parse();
    this.#depth--;
    return result;
  }

  protected expression(): Expression {
    return this.nested(() => this.#condition());
  }

  #condition(): Expression {
    let value = this.or();
    while (this.skipName("if")) {
      const test = this.or();
      const otherwise = this.skipName("else") ? this.nested(() => this.#condition()) : undefined;
      value = { kind: "condition", test, value, otherwise };
    }
    return value;
  }

  protected or(): Expression {
    let left = this.#and();
    while (this.skipName("or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.skipName("and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (this.skipName("not")) return { kind: "not", value: this.nested(() => this.#not()) };
    return this.#compare();
  }

  #compare(): Expression {
    const first = this.#sum();
    const rest: [string, Expression][] = [];
    for (;;) {
      if (this.current.kind === "operator" && COMPARISONS.has(this.current.text))
        rest.push([this.advance().text, this.#sum()]);
      else if (this.skipName("in")) rest.push(["in", this.#sum()]);
      else if (this.isName("not") && this.#ahead()?.kind === "name" && this.#ahead()?.text === "in") {
        this.#index += 2;
        rest.push(["not in", this.#sum()]);
      } else break;
    }
    return rest.length === 0 ? first : { kind: "compare", first, rest };
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.current.kind === "operator" && operators.includes(this.current.text))
      left = { kind: "binary", operator: this.advance().text, left, right: operand() };
    return left;
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const items = [this.#product()];
    while (this.skipOperator("~")) items.push(this.#product());
    return items.length === 1 && items[0] ? items[0] : { kind: "concat", items };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#binary(["**"], () => this.#unary(true)));
  }

  #unary(withFilter: boolean): Expression {
    return this.nested(() => {
      let value: Expression;
      if (this.skipOperator("-")) value = { kind: "negative", value: this.#unary(false) };
      else if (this.skipOperator("+")) value = { kind: "positive", value: this.#unary(false) };
      else value = this.#primary();
      value = this.#postfix(value);
      return withFilter ? this.#filtered(value) : value;
    });
  }

  #primary(): Expression {
    const { kind, text } = this.current;
    if (kind === "name") {
      this.advance();
      const constant = CONSTANTS.get(text);
      return constant === undefined ? { kind: "name", name: text } : { kind: "constant", value: constant };
    }
    if (kind === "string") {
      let value = "";
      while (this.current.kind === "string") value += this.advance().text;
      return { kind: "constant", value };
    }
    if (kind === "integer" || kind === "float") {
      this.advance();
      const digits = text.replaceAll("_", "");
      return { kind: "constant", value: kind === "float" ? Number(digits) : BigInt(digits) };
    }
    if (this.skipOperator("(")) {
      const value = this.tuple(true);
      this.expectOperator(")");
      return value;
    }
    if (this.skipOperator("[")) return { kind: "list", items: this.#items("]") };
    if (this.skipOperator("{")) return this.#dict();
    this.fail(`unexpected ${this.#shown()}`);
  }

  #items(closer: string): Expression[] {
    const items: Expression[] = [];
    while (!this.skipOperator(closer)) {
      if (items.length > 0) {
        this.expectOperator(",");
        if (this.skipOperator(closer)) break;
      }
      items.push(this.expression());
    }
    return items;
  }

  #dict(): Expression {
    const pairs: [Expression, Expression][] = [];
    while (!this.skipOperator("}")) {
      if (pairs.length > 0) {
        this.expectOperator(",");
        if (this.skipOperator("}")) break;
      }
      const key = this.expression();
      this.expectOperator(":");
      pairs.push([key, this.expression()]);
    }
    return { kind: "dict", pairs };
  }

  /** Parses an expression, or a tuple of several with commas. canBeEmpty: accepts the empty tuple, as in parentheses. */
  protected tuple(canBeEmpty: boolean, withCondition = true): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    while (!this.#isTupleEnd()) {
      items.push(withCondition ? this.expression() : this.or());
      if (!this.skipOperator(",")) break;
      isTuple = true;
    }
    if (isTuple) return { kind: "tuple", items };
    if (items[0]) return items[0];
    if (!canBeEmpty) this.fail(`expected an expression, got ${this.#shown()}`);
    return { kind: "tuple", items };
  }

  #isTupleEnd(): boolean {
    return this.current.kind === "variable_end" || this.current.kind === "block_end" || this.isOperator(")");
  }

  #postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.skipOperator(".")) value = this.#attribute(value);
      else if (this.skipOperator("[")) value = this.#subscript(value);
      else if (this.isOperator("(")) value = { kind: "call", callee: value, args: this.callArguments() };
      else return value;
    }
  }

  #attribute(object: Expression): Expression {
    const { kind, text } = this.advance();
    if (kind === "name") return { kind: "attribute", object, name: text };
    if (kind === "integer") return { kind: "item", object, key: { kind: "constant", value: BigInt(text) } };
    this.fail("expected name or number");
  }

  #subscript(object: Expression): Expression {
    const bounds: (Expression | undefined)[] = [];
    let colons = 0;
    let bound: Expression | undefined;
    while (!this.skipOperator("]")) {
      if (colons < 2 && this.skipOperator(":")) {
        bounds[colons++] = bound;
        bound = undefined;
      } else if (bound === undefined) bound = this.expression();
      else if (colons === 0 && this.isOperator(",")) bound = this.#tupleKey(bound);
      else this.fail(`expected ']', got ${this.#shown()}`);
    }
    if (colons > 0) {
      bounds[colons] = bound;
      return { kind: "slice", object, bounds };
    }
    if (!bound) this.fail("expected a subscript, got ']'");
    return { kind: "item", object, key: bound };
  }

  #tupleKey(first: Expression): Expression {
    const items = [first];
    while (this.skipOperator(",")) items.push(this.expression());
    return { kind: "tuple", items };
  }

  #filtered(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.skipOperator("|")) value = this.filterCall(value);
      else if (this.skipName("is")) value = this.#test(value);
      else if (this.isOperator("(")) value = { kind: "call", callee: value, args: this.callArguments() };
      else return value;
    }
  }

  protected filterCall(value: Expression | undefined): Expression {
    const name = this.#dottedName();
    return { kind: "filter", name, value, args: this.isOperator("(") ? this.callArguments() : NO_CALL };
  }

  #dottedName(): string {
    let name = this.expectName();
    while (this.skipOperator(".")) name += `.${this.expectName()}`;
    return name;
  }

  #test(value: Expression): Expression {
    const isNegated = this.skipName("not");
    const name = this.#dottedName();
    let args = NO_CALL;
    if (this.isOperator("(")) args = this.callArguments();
    else if (this.#beginsOperand()) {
      if (this.isName("is")) this.fail("You cannot chain multiple tests with is");
      args = { ...NO_CALL, positional: [this.#postfix(this.#primary())] };
    }
    const test: Expression = { kind: "test", name, value, args };
    return isNegated ? { kind: "not", value: test } : test;
  }

  #beginsOperand(): boolean {
    const { kind, text } = this.current;
    if (kind === "name") return text !== "else" && text !== "or" && text !== "and";
    return (
      kind === "string" ||
      kind === "integer" ||
      kind === "float" ||
      (kind === "operator" && "[{".includes(text))
    );
  }

  protected callArguments(): CallArguments {
    this.expectOperator("(");
    const positional: Expression[] = [];
    const keyword: [string, Expression][] = [];
    let spread: Expression | undefined;
    let keywordSpread: Expression | undefined;
    let isFirst = true;
    while (!this.skipOperator(")")) {
      if (!isFirst) {
        this.expectOperator(",");
        if (this.skipOperator(")")) break;
      }
      isFirst = false;
      const isLate = spread !== undefined || keywordSpread !== undefined;
      if (this.skipOperator("*")) spread = this.expression();
      else if (this.skipOperator("**")) keywordSpread = this.expression();
      else if (
        this.current.kind === "name" &&
        this.#ahead()?.kind === "operator" &&
        this.#ahead()?.text === "="
      ) {
        const name = this.advance().text;
        this.advance();
        keyword.push([name, this.expression()]);
      } else if (isLate || keyword.length > 0) this.fail("invalid syntax for function call expression");
      else positional.push(this.expression());
    }
    return { positional, keyword, spread, keywordSpread };
  }

  /** Parses the target of `set` or `for`. */
  protected target(withNamespace: boolean): Target {
    const items: Target[] = [];
    let isTuple = false;
    while (
      items.length === 0 ||
      (this.current.kind === "name" && !this.isName("in")) ||
      this.isOperator("(")
    ) {
      items.push(this.#oneTarget(withNamespace));
      if (!this.skipOperator(",")) break;
      isTuple = true;
    }
    return !isTuple && items[0] ? items[0] : { kind: "tuple", items };
  }

  #oneTarget(withNamespace: boolean): Target {
    if (this.skipOperator("(")) {
      const inner = this.nested(() => this.target(withNamespace));
      this.expectOperator(")");
      return inner;
    }
    const name = this.expectName();
    if (CONSTANTS.has(name)) this.fail(`can't assign to '${name}'`);
    if (withNamespace && this.skipOperator("."))
      return { kind: "namespace", name, attribute: this.expectName() };
    return { kind: "name", name };
  }
}
