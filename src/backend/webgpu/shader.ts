/**
 * Assembles the text of a kernel from WGSL files: preludes, then the kernel itself. The files may use these extensions:
 *
 * - `override NAME: type;` declares a constant that the dispatching code must pass. Several preludes may declare the same one.
 * - `/* unroll *\/ for (var i = 0u; i < BOUND; i++) {` is unrolled: each iteration becomes a block in which `i` is a constant,
 *   since drivers keep an array in registers only if every index is constant. BOUND is a constant expression.
 * - Module-scope `var<uniform>` and `var<storage, …>` have no `@binding`: the assembler numbers them in order of declaration.
 * - `file:name` includes a file with STAGE replaced by the name, so that a kernel can include one file several times.
 * - Directives (`enable`, `diagnostic`) may be in any file; they move to the top.
 *
 * Anything else is an error with the file, the line and its text: a bound evaluated wrongly would drop part of a loop.
 */
import { BackendError } from "../../base/errors.ts";
import { KERNEL_SOURCES, type KernelFile } from "./kernel-sources.ts";
import { type ConstantType, type ConstantValue, convert, evaluate, type Fail } from "./shader-expression.ts";
import { interfaceOf, type ShaderInterface, type ShaderLine } from "./shader-interface.ts";

/** A file of src/backend/webgpu/kernels without `.wgsl`, optionally with the replacement of STAGE. */
export type ShaderFile = KernelFile | `${KernelFile}:${string}`;

/** Values of the `override` declarations of a kernel. */
export type Constants = Readonly<Record<string, number | boolean>>;

export interface Shader extends ShaderInterface {
  readonly lines: readonly ShaderLine[];
}

export interface ShaderOptions {
  readonly constants: Constants;
  /** Passes parameters as immediates, so that no workgroup waits for memory at its start. */
  readonly hasImmediates: boolean;
}

/** Maximum iterations of an unrolled loop; more are a mistake in its bound. */
const MAX_TURNS = 1024;
const MARKER = "/* unroll */";
const MARKED_LOOP = /^\s*\/\* unroll \*\/ for \(var (\w+) = 0u; \1 < (.+); \1\+\+\) \{$/;
const OVERRIDE = /^override (\w+): (u32|i32|f32|bool);$/;
const CONSTANT = /^const (\w+): (u32|i32|f32|bool) = (.+);$/;
const RESOURCE = /^var<(?:uniform|storage, read|storage, read_write)> \w+: .+;$/;
const OTHER_VARIABLE = /^var<(?:workgroup|private)> \w+: .+;$/;

/** @throws BackendError naming the file, the line and its text; or the missing or undeclared constants */
export function assembleShader(files: readonly ShaderFile[], options: ShaderOptions): Shader {
  const kernel = files[files.length - 1] ?? "";
  return new Assembly(kernel, options).assemble(files.flatMap(linesOf));
}

/** Returns the text for the compiler; its line i is `lines[i]`. */
export function textOf({ lines }: Pick<Shader, "lines">): string {
  return lines.map(({ text }) => text).join("\n");
}

/** Assembles texts from outside the kernels folder, for tests. */
export function assembleTexts(texts: Readonly<Record<string, string>>, options: ShaderOptions): Shader {
  const files = Object.keys(texts);
  const lines = files.flatMap((file) => split(file, texts[file] ?? ""));
  return new Assembly(files[files.length - 1] ?? "", options).assemble(lines);
}

function linesOf(file: ShaderFile): ShaderLine[] {
  const [name = "", stage] = file.split(":");
  const source = (KERNEL_SOURCES as Readonly<Record<string, string>>)[name];
  if (source === undefined) throw new BackendError(`backend webgpu: there is no kernel file ${name}.wgsl`);
  if (source.includes("STAGE") !== (stage !== undefined))
    throw new BackendError(
      `backend webgpu: ${name}.wgsl ${stage === undefined ? "needs a name for STAGE" : "has no STAGE to replace"}`,
    );
  return split(`${name}.wgsl`, stage === undefined ? source : source.replaceAll("STAGE", stage));
}

function split(file: string, text: string): ShaderLine[] {
  return text.split("\n").map((line, i) => ({ file, number: i + 1, text: line }));
}

class Assembly {
  readonly #kernel: string;
  readonly #given: Constants;
  readonly #hasImmediates: boolean;
  readonly #values = new Map<string, ConstantValue>();
  readonly #declarations = new Map<string, string>();
  readonly #directives = new Map<string, ShaderLine>();
  readonly #missing: string[] = [];
  #numBindings = 1; // 0 are the parameters

  constructor(kernel: string, { constants, hasImmediates }: ShaderOptions) {
    this.#kernel = kernel;
    this.#given = constants;
    this.#hasImmediates = hasImmediates;
  }

  assemble(lines: readonly ShaderLine[]): Shader {
    const declared = lines.flatMap((line) => this.#declare(line) ?? []);
    const unknown = Object.keys(this.#given).filter(
      (name) => !this.#declarations.get(name)?.startsWith("override"),
    );
    if (unknown.length > 0) throw this.#error(`no override is declared for ${unknown.join(", ")}`);
    if (this.#missing.length > 0) throw this.#error(`no value was given for ${this.#missing.join(", ")}`);
    const out = [...this.#directives.values()];
    new Unroller(declared, this.#values, out).unroll(0, declared.length);
    return { lines: out, ...interfaceOf(declared, refuse) };
  }

  #error(problem: string): BackendError {
    return new BackendError(`backend webgpu: kernel ${this.#kernel}: ${problem}`);
  }

  /** The line as WGSL has it; undefined if nothing is left of it. */
  #declare(line: ShaderLine): ShaderLine | undefined {
    const code = codeOf(line.text);
    const [word = ""] = /^\w+/.exec(code) ?? [];
    if (/@(?:group|binding|id)\b/.test(code))
      refuse(line, "bindings are numbered in order of declaration: leave the attribute out");
    if (/\/\*|\*\//.test(code.replace(MARKER, "")))
      refuse(line, "a comment of this kind may hide braces: use //");
    if (word === "enable" || word === "diagnostic" || word === "requires") {
      if (!this.#directives.has(code)) this.#directives.set(code, line);
      return undefined;
    }
    if (word === "override") return this.#override(line, code);
    if (/\boverride\b/.test(code))
      refuse(line, "expected override NAME: u32, i32, f32 or bool; at the start of a line");
    if (word === "const") return this.#constant(line, code);
    if (word === "var") return this.#variable(line, code);
    return line;
  }

  #override(line: ShaderLine, code: string): ShaderLine | undefined {
    const [declaration, name = "", type] = OVERRIDE.exec(code) ?? [];
    if (declaration === undefined) return refuse(line, "expected override NAME: u32, i32, f32 or bool;");
    if (!this.#isFirst(line, name, declaration)) return undefined;
    const value = this.#given[name];
    if (value === undefined) {
      this.#missing.push(`${name} (${line.file}:${line.number})`);
      return undefined;
    }
    const known = givenValue(value, type as ConstantType, (problem) => refuse(line, `${name}: ${problem}`));
    this.#values.set(name, known);
    return { ...line, text: `const ${name}: ${type} = ${literal(known)};` };
  }

  #constant(line: ShaderLine, code: string): ShaderLine | undefined {
    const [declaration, name = "", type, expression = ""] = CONSTANT.exec(code) ?? [];
    if (declaration === undefined)
      return refuse(line, "expected const NAME: u32, i32, f32 or bool = expression;");
    if (!this.#isFirst(line, name, declaration)) return undefined;
    const fail: Fail = (problem) => refuse(line, problem);
    this.#values.set(name, convert(evaluate(expression, this.#values, fail), type as ConstantType, fail));
    return line;
  }

  #variable(line: ShaderLine, code: string): ShaderLine {
    if (OTHER_VARIABLE.test(code)) return line;
    if (!RESOURCE.test(code))
      return refuse(
        line,
        "expected var<uniform>, <storage, read>, <storage, read_write>, <workgroup> or <private>, on one line",
      );
    if (!code.startsWith("var<uniform>"))
      return { ...line, text: `@group(0) @binding(${this.#numBindings++}) ${line.text}` };
    const text = this.#hasImmediates
      ? line.text.replace("var<uniform>", "var<immediate>")
      : `@group(0) @binding(0) ${line.text}`;
    return { ...line, text };
  }

  /** Returns true for the first declaration of a constant. Files of one kernel may declare the same constant. */
  #isFirst(line: ShaderLine, name: string, declaration: string): boolean {
    const before = this.#declarations.get(name);
    if (before !== undefined && before !== declaration)
      refuse(line, `${name} is declared before, otherwise: ${before}`);
    this.#declarations.set(name, declaration);
    return before === undefined;
  }
}

/** Writes marked loops out, each turn a block in which the variable is a constant. */
class Unroller {
  readonly #lines: readonly ShaderLine[];
  /** The lines without their comments. */
  readonly #codes: readonly string[];
  /** The constants, and the variables of the loops around the current line. */
  readonly #values: Map<string, ConstantValue>;
  readonly #out: ShaderLine[];
  /** Last line of each marked loop, by its first. */
  readonly #ends = new Map<number, number>();

  constructor(lines: readonly ShaderLine[], values: ReadonlyMap<string, ConstantValue>, out: ShaderLine[]) {
    this.#lines = lines;
    this.#codes = lines.map(({ text }) => codeOf(text));
    this.#values = new Map(values);
    this.#out = out;
  }

  unroll(first: number, end: number): void {
    for (let i = first; i < end; i++) {
      const line = this.#lines[i] as ShaderLine;
      if (this.#codes[i]?.includes(MARKER)) i = this.#writeOut(line, i);
      else this.#out.push(line);
    }
  }

  /** Returns the index of the loop's last line. */
  #writeOut(line: ShaderLine, first: number): number {
    const [head, variable = "", bound = ""] = MARKED_LOOP.exec(this.#codes[first] ?? "") ?? [];
    if (head === undefined) refuse(line, `expected ${MARKER} for (var i = 0u; i < BOUND; i++) {`);
    const end = this.#ends.get(first) ?? this.#closingLine(line, first);
    this.#ends.set(first, end);
    const fail: Fail = (problem) => refuse(line, problem);
    const turns = convert(evaluate(bound, this.#values, fail), "u32", fail).value;
    if (turns > MAX_TURNS) refuse(line, `${turns} turns are more than the ${MAX_TURNS} that are written out`);
    const hidden = this.#values.get(variable);
    const close = { ...(this.#lines[end] as ShaderLine), text: "}" };
    for (let turn = 0; turn < turns; turn++) {
      this.#out.push({ ...line, text: `{ const ${variable} = ${turn}u;` });
      this.#values.set(variable, { type: "u32", value: turn });
      this.unroll(first + 1, end);
      this.#out.push(close);
    }
    if (hidden) this.#values.set(variable, hidden);
    else this.#values.delete(variable);
    return end;
  }

  /** Index of the line that ends the block which line `first` begins. */
  #closingLine(line: ShaderLine, first: number): number {
    let depth = 1;
    for (let i = first + 1; i < this.#lines.length; i++) {
      const code = this.#codes[i] ?? "";
      for (const letter of code) {
        if (letter === "{") depth++;
        else if (letter === "}") depth--;
        if (depth > 0) continue;
        if (code.trim() !== "}")
          refuse(this.#lines[i] as ShaderLine, "the brace that ends a marked loop must stand alone");
        return i;
      }
    }
    return refuse(line, "a marked loop does not end");
  }
}

/** A line without its comment. */
function codeOf(text: string): string {
  return text.replace(/\/\/.*$/, "").trimEnd();
}

function givenValue(value: number | boolean, type: ConstantType, fail: Fail): ConstantValue {
  if (typeof value === "boolean")
    return type === "bool" ? { type, value: Number(value) } : fail(`expected ${type}, got ${value}`);
  if (type === "bool") return fail(`expected bool, got ${value}`);
  if (!Number.isFinite(value)) return fail(`expected ${type}, got ${value}`);
  if (type === "f32") return { type, value };
  return Number.isInteger(value)
    ? convert({ type: "abstract-int", value }, type, fail)
    : fail(`expected ${type}, got ${value}`);
}

function literal({ type, value }: ConstantValue): string {
  if (type === "bool") return String(value === 1);
  if (type === "u32") return `${value}u`;
  if (type === "i32") return `${value}i`;
  return /[.e]/.test(String(value)) ? String(value) : `${value}.0`;
}

function refuse({ file, number, text }: ShaderLine, problem: string): never {
  throw new BackendError(`backend webgpu: ${file}:${number}: ${problem}\n  ${text.trim()}`);
}
