/** Reads a kernel's interface from its text: parameters and bindings, by name. */

/** A line of an assembled text, with its file and line number. */
export interface ShaderLine {
  readonly file: string;
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

export interface Binding {
  readonly name: string;
  readonly access: "read" | "read_write";
  readonly number: number;
}

type ScalarType = "u32" | "i32" | "f32";

/** A field of the parameters: one word, or a struct of words. */
export type Field =
  | { readonly name: string; readonly type: ScalarType }
  | { readonly name: string; readonly type: "struct"; readonly fields: readonly Field[] };

export interface ShaderInterface {
  /** Fields of the uniform, in order, without gaps. */
  readonly params: readonly Field[];
  /** Storage buffers, in order of their numbers. */
  readonly bindings: readonly Binding[];
}

/** Maximum words of a kernel's parameters, the size of immediates. */
const MAX_WORDS = 16;
const BINDING = /^@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+):/;
const PARAMS = /^(?:@group\(0\) @binding\(0\) )?var<(?:uniform|immediate)> (\w+): (\w+);/;

type Refuse = (line: ShaderLine, problem: string) => never;

export function interfaceOf(lines: readonly ShaderLine[], refuse: Refuse): ShaderInterface {
  const bindings: Binding[] = [];
  let params: readonly Field[] | undefined;
  for (const line of lines) {
    const [, number, access, name = ""] = BINDING.exec(line.text) ?? [];
    if (access) {
      if (bindings.some((other) => other.name === name))
        refuse(line, `the binding ${name} is declared twice`);
      bindings.push({ name, access: access as Binding["access"], number: Number(number) });
    }
    const type = PARAMS.exec(line.text)?.[2];
    if (type === undefined) continue;
    if (params) refuse(line, "a kernel has one uniform: its parameters");
    params = fieldsOf(type, line, lines, refuse);
    if (numWords(params) > MAX_WORDS)
      refuse(line, `${type} has ${numWords(params)} words; ${MAX_WORDS} come with a dispatch`);
  }
  return { params: params ?? [], bindings };
}

export function numWords(fields: readonly Field[]): number {
  return fields.reduce((sum, field) => sum + (field.type === "struct" ? numWords(field.fields) : 1), 0);
}

function fieldsOf(struct: string, use: ShaderLine, lines: readonly ShaderLine[], refuse: Refuse): Field[] {
  const first = lines.findIndex(({ text }) => text === `struct ${struct} {`);
  if (first < 0) refuse(use, `expected struct ${struct} { … } with a field a line`);
  const fields: Field[] = [];
  for (const line of lines.slice(first + 1)) {
    const code = line.text.replace(/\/\/.*$/, "").trim();
    if (code === "}") return fields;
    if (code === "") continue;
    const [, name, type] = /^(\w+): (\w+),$/.exec(code) ?? [];
    if (name === undefined || type === undefined)
      return refuse(line, "expected a field of parameters: name: type,");
    if (fields.some((field) => field.name === name)) refuse(line, `${name} is declared twice`);
    if (type === "u32" || type === "i32" || type === "f32") fields.push({ name, type });
    else fields.push({ name, type: "struct", fields: fieldsOf(type, line, lines, refuse) });
  }
  return refuse(use, `struct ${struct} does not end`);
}
