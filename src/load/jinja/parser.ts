import type { Expression, MacroShape, Parameter, Statement } from "./ast.ts";
import { TemplateSyntaxError } from "./budget.ts";
import { ExpressionParser } from "./expression-parser.ts";
import { tokenize } from "./lexer.ts";

/** Maximum length of a template in UTF-16 units; the longest in use have about 20,000. */
const MAX_TEMPLATE = 2 ** 20;

const SPECIAL = ["caller", "varargs", "kwargs"];

/** Parses a template. @throws TemplateSyntaxError with the line */
export function parseTemplate(template: string): readonly Statement[] {
  if (template.length > MAX_TEMPLATE)
    throw new TemplateSyntaxError(`it is longer than ${MAX_TEMPLATE} characters`);
  return new Parser(tokenize(template)).template();
}

class Parser extends ExpressionParser {
  /** The special names read by each macro that is being parsed, innermost last. */
  readonly #special: Set<string>[] = [];

  template(): readonly Statement[] {
    return this.#statements([]).body;
  }

  /** Parses statements up to one of `ends` and consumes its name; the caller parses the rest of that tag. */
  #statements(ends: readonly string[]): { readonly body: readonly Statement[]; readonly end: string } {
    const body: Statement[] = [];
    for (;;) {
      const token = this.advance();
      if (token.kind === "data") body.push({ kind: "data", text: token.text });
      else if (token.kind === "variable_begin") {
        body.push({ kind: "print", value: this.tuple(false) });
        this.expectEnd("variable_end");
      } else if (token.kind === "block_begin") {
        if (this.current.kind === "name" && ends.includes(this.current.text))
          return { body, end: this.advance().text };
        body.push(...this.nested(() => this.#statement()));
      } else if (token.kind === "eof" && ends.length === 0) return { body, end: "" };
      else
        this.fail(ends.length > 0 ? `expected {% ${ends.join(" or ")} %}` : "unexpected end of the template");
    }
  }

  /** Parses the statements of a block whose end tag holds only its name. */
  #bodyUpTo(end: string): readonly Statement[] {
    this.expectEnd("block_end");
    const { body } = this.#statements([end]);
    this.expectEnd("block_end");
    return body;
  }

  #statement(): readonly Statement[] {
    const line = this.current.line;
    const keyword = this.expectName();
    switch (keyword) {
      case "for":
        return [this.#for()];
      case "if":
        return [this.#if()];
      case "set":
        return [this.#set()];
      case "macro":
        return [this.#macro()];
      case "call":
        return [this.#call()];
      case "filter":
        return [this.#filter()];
      case "with":
        return [this.#with()];
      case "print":
        return this.#print();
      case "generation":
        return [{ kind: "scope", body: this.#bodyUpTo("endgeneration") }];
      case "block":
        return [this.#block()];
      case "autoescape":
        this.expression();
        return [{ kind: "scope", body: this.#bodyUpTo("endautoescape") }];
      case "break":
      case "continue":
        this.expectEnd("block_end");
        return [{ kind: keyword }];
      default:
        this.fail(`the tag {% ${keyword.slice(0, 40)} %} of line ${line} is unknown or not supported`);
    }
  }

  #for(): Statement {
    const target = this.target(false);
    if (!this.skipName("in")) this.fail("expected 'in'");
    const values = this.tuple(false, false);
    const test = this.skipName("if") ? this.expression() : undefined;
    const isRecursive = this.skipName("recursive");
    this.expectEnd("block_end");
    const { body, end } = this.#statements(["endfor", "else"]);
    const otherwise = end === "else" ? this.#bodyUpTo("endfor") : [];
    if (end !== "else") this.expectEnd("block_end");
    return { kind: "for", target, values, test, isRecursive, body, otherwise };
  }

  #if(): Statement {
    const branches: { test: Expression; body: readonly Statement[] }[] = [];
    let otherwise: readonly Statement[] = [];
    for (;;) {
      const test = this.tuple(false, false);
      this.expectEnd("block_end");
      const { body, end } = this.#statements(["elif", "else", "endif"]);
      branches.push({ test, body });
      if (end === "elif") continue;
      if (end === "else") otherwise = this.#bodyUpTo("endif");
      else this.expectEnd("block_end");
      break;
    }
    for (const { test, body } of branches.reverse()) otherwise = [{ kind: "if", test, body, otherwise }];
    const [first] = otherwise;
    return first ?? { kind: "data", text: "" };
  }

  #set(): Statement {
    const target = this.target(true);
    if (this.skipOperator("=")) {
      const value = this.tuple(false);
      this.expectEnd("block_end");
      return { kind: "set", target, value };
    }
    const filter = this.isOperator("|") ? this.#filterChain() : undefined;
    return { kind: "set-block", target, filter, body: this.#bodyUpTo("endset") };
  }

  #filterChain(): Expression {
    let filter: Expression | undefined;
    while (this.skipOperator("|")) filter = this.filterCall(filter);
    return filter ?? this.fail("expected a filter");
  }

  #filter(): Statement {
    let filter = this.filterCall(undefined);
    while (this.skipOperator("|")) filter = this.filterCall(filter);
    return { kind: "filter-block", filter, body: this.#bodyUpTo("endfilter") };
  }

  #with(): Statement {
    const pairs: (readonly [ReturnType<Parser["target"]>, Expression])[] = [];
    while (this.current.kind !== "block_end") {
      if (pairs.length > 0) this.expectOperator(",");
      const target = this.target(false);
      this.expectOperator("=");
      pairs.push([target, this.expression()]);
    }
    return { kind: "with", pairs, body: this.#bodyUpTo("endwith") };
  }

  #print(): readonly Statement[] {
    const printed: Statement[] = [];
    while (this.current.kind !== "block_end") {
      if (printed.length > 0) this.expectOperator(",");
      printed.push({ kind: "print", value: this.expression() });
    }
    this.expectEnd("block_end");
    return printed;
  }

  #block(): Statement {
    const name = this.expectName();
    while (this.skipName("scoped") || this.skipName("required"));
    this.expectEnd("block_end");
    const { body } = this.#statements(["endblock"]);
    this.skipName(name);
    this.expectEnd("block_end");
    return { kind: "scope", body };
  }

  #parameters(): readonly Parameter[] {
    const parameters: Parameter[] = [];
    this.expectOperator("(");
    while (!this.skipOperator(")")) {
      if (parameters.length > 0) this.expectOperator(",");
      const name = this.expectName();
      const byDefault = this.skipOperator("=") ? this.expression() : undefined;
      if (!byDefault && parameters.at(-1)?.byDefault)
        this.fail("non-default argument follows default argument");
      parameters.push({ name, byDefault });
    }
    return parameters;
  }

  #shape(name: string | undefined, parameters: readonly Parameter[], end: string): MacroShape {
    const special = new Set<string>();
    this.#special.push(special);
    const body = this.#bodyUpTo(end);
    this.#special.pop();
    return { name, parameters, body, special };
  }

  #macro(): Statement {
    const name = this.expectName();
    return { kind: "macro", macro: this.#shape(name, this.#parameters(), "endmacro") };
  }

  #call(): Statement {
    const parameters = this.isOperator("(") ? this.#parameters() : [];
    const call = this.expression();
    if (call.kind !== "call") this.fail("expected a call after {% call %}");
    return { kind: "call-block", call, macro: this.#shape(undefined, parameters, "endcall") };
  }

  protected override expectName(): string {
    const name = super.expectName();
    if (SPECIAL.includes(name)) this.#special.at(-1)?.add(name);
    return name;
  }

  protected override advance() {
    const token = super.advance();
    if (token.kind === "name" && SPECIAL.includes(token.text)) this.#special.at(-1)?.add(token.text);
    return token;
  }
}
