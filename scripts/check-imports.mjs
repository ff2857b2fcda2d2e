// The import law (ARCHITECTURE.md): a file imports from its own folder or from a lower layer, types included.
// `checkImports(root)` returns what it read and what breaks the law; run as a script it prints that and exits 1.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Layer of each folder under src/, and of the files beside them, whose folder is src itself. */
const LAYERS = {
  base: 0,
  backend: 1,
  load: 1,
  kv: 2,
  constraint: 2,
  tools: 3,
  attention: 3,
  model: 4,
  engine: 5,
  worker: 6,
  "ai-sdk": 6,
  machine: 6,
  "open.ts": 7,
  "inspect.ts": 7,
  "model-demand.ts": 7,
  "kept-at-open.ts": 7,
  "model-fits.ts": 7,
  "open-options.ts": 7,
  "index.ts": 7,
  node: 8,
  browser: 8,
  server: 9,
  cli: 10,
};
const PUBLIC = ["src/index.ts", "src/node/index.ts", "src/browser/index.ts"];
/** Files that each folder outside src may import. The page uses the package by its name, as anybody's page would. */
const ENTRIES = {
  eval: PUBLIC,
  bench: [...PUBLIC, "src/node/internal.ts"],
  web: ["eval/problems/index.ts", "eval/metrics/jaccard.ts"],
};
/** Pure: eval and the page draw the same problems. */
const PROBLEMS = "eval/problems/";
/** A command may load its part of eval; only when it runs, so that other commands do not pay for it. */
const COMMAND = /^src\/cli\/commands\//;
const EVAL_COMMAND = /^eval\/commands\//;
/** Files that may name a concrete backend, besides the backend itself and tests. */
const MAY_NAME_BACKENDS = /^src\/(machine\/backends\.ts$|node\/|browser\/)/;
const IMPLEMENTATION = /^src\/backend\/([^/]+)\//;
const POLICY = /^src\/attention\/policies\/(?!index\.ts$)/;
const MAY_USE_NODE = /^(src\/node\/|src\/cli\/|src\/server\/listen\.ts$|eval\/|bench\/)/;
const SKIPPED = /(\.test\.ts$|\.d\.ts$)/;
const BUILTINS = new Set(builtinModules);

const COMMENT_OR_STRING =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`/g;
const STATEMENT = /(?:^|[;}\n])\s*(?:import|export)\b(?:[^;"'`=()]*?\bfrom\b)?\s*(["'])([^"'\n]+)\1/g;
const DYNAMIC = /\bimport\s*\(\s*(["'`])([^"'`\n$]+)\1/g;

/**
 * Reads every .ts and .tsx file under src, eval, bench and web below `root`, AssemblyScript included, tests excepted.
 * @returns {{ files: number, problems: string[] }}
 */
export function checkImports(root) {
  const files = ["src", ...Object.keys(ENTRIES)].flatMap((folder) => listFiles(root, folder));
  const graph = new Map();
  const problems = [];
  for (const file of files) {
    const targets = [];
    const source = readFileSync(join(root, file), "utf8");
    const lazy = new Set(dynamicImportsOf(source));
    for (const specifier of importsOf(source)) {
      const target = resolveImport(file, specifier);
      const problem =
        target === undefined ? judgePackage(file, specifier) : judgeFile(file, target, lazy.has(specifier));
      if (problem) problems.push(`${file}: imports ${specifier}: ${problem}`);
      if (target !== undefined) targets.push(target);
    }
    graph.set(file, targets);
  }
  problems.push(...findCycles(graph));
  if (!files.some((file) => file.startsWith("src/")))
    problems.push(`no source files found under ${join(root, "src")}`);
  return { files: files.length, problems };
}

/** The module specifiers a source text imports or re-exports from, statically, dynamically or as types. */
export function importsOf(source) {
  return [...codeOf(source).matchAll(STATEMENT)].map((match) => match[2]).concat(dynamicImportsOf(source));
}

function dynamicImportsOf(source) {
  return [...codeOf(source).matchAll(DYNAMIC)].map((match) => match[2]);
}

function codeOf(source) {
  return source.replace(COMMENT_OR_STRING, (text) =>
    // On one line a template's text cannot be taken for a statement.
    text.startsWith("/") ? " " : text.replaceAll("\n", " "),
  );
}

function judgePackage(file, specifier) {
  const isBuiltin = specifier.startsWith("node:") || BUILTINS.has(specifier.split("/")[0]);
  if (isBuiltin && !MAY_USE_NODE.test(file))
    return "the core runs in browsers; Node modules belong in src/node or src/cli";
  return undefined;
}

function judgeFile(file, target, isLazy) {
  const [folder = ""] = file.split("/");
  if (file.startsWith(PROBLEMS) && !target.startsWith(PROBLEMS))
    return "the page imports eval/problems, so that its files import one another alone";
  if (Object.hasOwn(ENTRIES, folder)) {
    if (target.startsWith(`${folder}/`) || ENTRIES[folder].includes(target)) return undefined;
    return `${folder} may import only ${ENTRIES[folder].join(", ")} and its own files`;
  }
  if (COMMAND.test(file) && EVAL_COMMAND.test(target))
    return isLazy ? undefined : "a command loads eval when it runs: await import(…)";
  const from = placeOf(file);
  const to = placeOf(target);
  if (from === undefined) return "the file's folder has no layer; give it one in scripts/check-imports.mjs";
  if (to === undefined) return "the target has no layer";
  if (POLICY.test(file) && POLICY.test(target)) return "a policy imports no other policy";
  const implementation = IMPLEMENTATION.exec(target)?.[1];
  if (implementation !== undefined && implementation !== IMPLEMENTATION.exec(file)?.[1]) {
    if (!MAY_NAME_BACKENDS.test(file))
      return "only src/machine/backends.ts, src/node, src/browser and tests name a concrete backend";
  }
  if (from.name === to.name || to.layer < from.layer) return undefined;
  return `${from.name} is layer ${from.layer}, ${to.name} is layer ${to.layer}`;
}

function placeOf(file) {
  const parts = file.split("/");
  const name = parts[1] ?? "";
  if (parts[0] !== "src" || !Object.hasOwn(LAYERS, name)) return undefined;
  return { name: parts.length === 2 ? "src" : name, layer: LAYERS[name] };
}

function resolveImport(file, specifier) {
  if (!specifier.startsWith(".")) return undefined;
  const path = posix.join(posix.dirname(file), specifier);
  return posix.extname(path) === "" ? `${path}.ts` : path.replace(/\.js$/, ".ts");
}

function findCycles(graph) {
  const problems = [];
  const done = new Set();
  const path = [];
  const visit = (file) => {
    const start = path.indexOf(file);
    if (start >= 0) problems.push(`cycle: ${[...path.slice(start), file].join(" > ")}`);
    if (start >= 0 || done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return problems;
}

function listFiles(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => posix.join(folder, String(name).split(sep).join("/")))
    .filter((file) => /\.tsx?$/.test(file) && !SKIPPED.test(file))
    .filter((file) => statSync(join(root, file)).isFile())
    .sort();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const { files, problems } = checkImports(root);
  for (const problem of problems) console.error(problem);
  console.log(
    `imports: ${files} files under ${relative(process.cwd(), root) || "."}, ${problems.length} problems`,
  );
  process.exitCode = problems.length > 0 ? 1 : 0;
}
