// Types of the WASM kernels' exports, read from the AssemblyScript that defines them: assembly/index.ts and the files it
// re-exports from. The compiled module and its TypeScript caller thus have one source.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FUNCTION = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export function (\w+)\(([^)]*)\): (\w+)/g;
const RE_EXPORT = /^export \{([^}]*)\} from "\.\/([\w-]+)";$/gm;
/** Types of AssemblyScript that JavaScript sees as a number; 64-bit integers and vectors it does not. */
const NUMBERS = new Set(["i32", "u32", "usize", "bool", "f32", "f64"]);

/**
 * The functions that an AssemblyScript module exports, its own and those it re-exports by name.
 * @param {string} folder
 * @param {string} module without its ending
 * @throws Error for a re-export that names no function, or a type that no JavaScript number holds
 */
export function exportsOf(folder, module) {
  const source = readFileSync(join(folder, `${module}.ts`), "utf8");
  const found = functionsOf(source);
  for (const [, names, from] of source.matchAll(RE_EXPORT)) {
    const others = functionsOf(readFileSync(join(folder, `${from}.ts`), "utf8"));
    for (const name of names.split(",").map((text) => text.trim())) {
      const other = others.find((one) => one.name === name);
      if (!other)
        throw new Error(`${module}.ts re-exports ${name} from ${from}.ts, which exports no such function`);
      found.push(other);
    }
  }
  return found.map(({ comment, name, list, result }) => ({
    comment,
    name,
    params: list.split(",").flatMap((text) => {
      const [param, type] = text.split(":").map((word) => word.trim());
      return param ? [{ name: param, type: numberFor(type, `${name}(${param})`) }] : [];
    }),
    result: result === "void" ? "void" : numberFor(result, name),
  }));
}

function functionsOf(source) {
  return [...source.matchAll(FUNCTION)].map(([, comment = "", name, list, result]) => ({
    comment,
    name,
    list,
    result,
  }));
}

function numberFor(type, where) {
  if (NUMBERS.has(type)) return "number";
  throw new Error(
    `the wasm export ${where} is of type ${type}; an export takes and gives ${[...NUMBERS].join(", ")}`,
  );
}

/** TypeScript of the exports: their interface, and their arities to check a module by. */
export function exportsSource(functions, origin) {
  const methods = functions.map(({ comment, name, params, result }) => {
    const list = params.map((param) => `${param.name}: ${param.type}`).join(", ");
    return `${comment}${name}(${list}): ${result};`;
  });
  const arities = functions.map(({ name, params }) => `${name}: ${params.length},`);
  const indented = (lines) => lines.join("\n").replaceAll(/^/gm, "  ");
  return (
    `// Made by scripts/build.mjs from ${origin}.\n` +
    "/** Exports of the kernels. Numbers are 32-bit, addresses unsigned. A weight is the address of its descriptor, 0 none. */\n" +
    `export interface WasmExports {\n${indented(methods)}\n}\n\n` +
    "/** Parameters of each export. */\n" +
    `export const ARITIES: Readonly<Record<keyof WasmExports, number>> = {\n${indented(arities)}\n};\n`
  );
}
