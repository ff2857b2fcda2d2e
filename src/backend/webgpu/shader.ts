import { KERNEL_SOURCES } from "./kernel-sources.ts";

/** Values for the `const NAME: type = default;` lines of a kernel. */
export type Constants = Readonly<Record<string, number | boolean>>;

/**
 * The text of a kernel: its preludes, then itself, with the constants that are named replaced and the loops marked
 * `/* unroll *\/` written out. Drivers keep an array in registers only where every index is a constant.
 *
 * files          names without .wgsl; `file:name` stands for the file with STAGE replaced by the name, so that one file can be
 *                taken more than once
 * hasImmediates  the parameters come with the dispatch, so that no workgroup begins by waiting for memory
 * @throws TypeError when a constant or a file is not there: a mistake in the backend.
 */
export function shaderText(files: readonly string[], constants: Constants, hasImmediates = false): string {
  const missing = new Set(Object.keys(constants));
  const values = new Map<string, number>();
  const text = files
    .map((file) => {
      const [name = "", stage] = file.split(":");
      const source = KERNEL_SOURCES[name];
      if (source === undefined) throw new TypeError(`no kernel file ${name}.wgsl`);
      return stage === undefined ? source : source.replaceAll("STAGE", stage);
    })
    .join("\n")
    .replace(
      /^const (\w+): (u32|f32|bool) = ([^;]*);.*$/gm,
      (line, name: string, type: string, text: string) => {
        // preludes may declare the same constant: once is enough
        if (values.has(name)) return "";
        const value = constants[name];
        missing.delete(name);
        values.set(name, value === undefined ? evaluate(text, values) : Number(value));
        return value === undefined ? line : `const ${name}: ${type} = ${literal(value, type)};`;
      },
    );
  if (missing.size > 0) throw new TypeError(`${files.join(", ")}: no constant ${[...missing].join(", ")}`);
  return unroll(hasImmediates ? text.replace(UNIFORM, "var<immediate> params") : text, values);
}

/** The few words that differ between dispatches of a kernel. */
const UNIFORM = "@group(0) @binding(0) var<uniform> params";

function literal(value: number | boolean, type: string): string {
  if (type === "bool") return String(Boolean(value));
  if (type === "u32") return `${Number(value) >>> 0}u`;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

const MARKED_LOOP = /\/\* unroll \*\/ for \(var (\w+) = 0u; \1 < ([^;]+); \1\+\+\) \{/;

/** Writes marked loops out, innermost last, each turn a block in which the variable is a constant. */
function unroll(text: string, values: ReadonlyMap<string, number>): string {
  let rest = text;
  for (let match = MARKED_LOOP.exec(rest); match; match = MARKED_LOOP.exec(rest)) {
    const [head, variable = "", bound = ""] = match;
    const start = match.index + head.length;
    const end = closingBrace(rest, start);
    const body = rest.slice(start, end);
    let turns = "";
    for (let i = 0; i < evaluate(bound, values); i++) turns += `{ const ${variable} = ${i}u;${body}}\n`;
    rest = rest.slice(0, match.index) + turns + rest.slice(end + 1);
  }
  return rest;
}

function closingBrace(text: string, start: number): number {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  throw new TypeError("a marked loop does not end");
}

/** The value of a constant expression: numbers, names, + - * / with u32 division, ==, select, min and max. NaN where it is more. */
export function evaluate(text: string, values: ReadonlyMap<string, number>): number {
  const tokens = text.match(/\w[\w.]*|==|[-+*/(),]/g) ?? [];
  let at = 0;
  const call = (name: string): number => {
    at++; // (
    const args: number[] = [];
    while (tokens[at] !== ")" && at < tokens.length) {
      args.push(equality());
      if (tokens[at] === ",") at++;
    }
    at++;
    const [a = Number.NaN, b = Number.NaN, c = Number.NaN] = args;
    if (name === "select") return c ? b : a;
    if (name === "min") return Math.min(a, b);
    if (name === "max") return Math.max(a, b);
    return Number.NaN;
  };
  const atom = (): number => {
    const token = tokens[at++] ?? "";
    if (token === "(") {
      const value = equality();
      at++;
      return value;
    }
    if (tokens[at] === "(") return call(token);
    if (token === "true" || token === "false") return Number(token === "true");
    return values.get(token) ?? Number.parseFloat(token);
  };
  const product = (): number => {
    let value = atom();
    while (tokens[at] === "*" || tokens[at] === "/") {
      const isProduct = tokens[at++] === "*";
      const other = atom();
      value = isProduct ? value * other : Math.floor(value / other);
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") {
      const sign = tokens[at++] === "+" ? 1 : -1;
      value += sign * product();
    }
    return value;
  };
  const equality = (): number => {
    const value = sum();
    if (tokens[at] !== "==") return value;
    at++;
    return Number(value === sum());
  };
  return equality();
}
