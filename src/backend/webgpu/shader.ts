import { KERNEL_SOURCES } from "./kernel-sources.ts";

/** Values for the `const NAME: type = default;` lines of a kernel. */
export type Constants = Readonly<Record<string, number | boolean>>;

/**
 * The text of a kernel: its preludes, then itself, with the constants that are named replaced.
 * @throws TypeError when a constant or a file is not there: a mistake in the backend.
 */
export function shaderText(files: readonly string[], constants: Constants): string {
  const missing = new Set(Object.keys(constants));
  const declared = new Set<string>();
  const text = files
    .map((file) => {
      const source = KERNEL_SOURCES[file];
      if (source === undefined) throw new TypeError(`no kernel file ${file}.wgsl`);
      return source;
    })
    .join("\n")
    .replace(/^const (\w+): (u32|f32|bool) = (.*);.*$/gm, (line, name: string, type: string) => {
      // preludes may declare the same constant: once is enough
      if (declared.has(name)) return "";
      declared.add(name);
      const value = constants[name];
      if (value === undefined) return line;
      missing.delete(name);
      return `const ${name}: ${type} = ${literal(value, type)};`;
    });
  if (missing.size > 0) throw new TypeError(`${files.join(", ")}: no constant ${[...missing].join(", ")}`);
  return text;
}

function literal(value: number | boolean, type: string): string {
  if (type === "bool") return String(Boolean(value));
  if (type === "u32") return `${Number(value) >>> 0}u`;
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
