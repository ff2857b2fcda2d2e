// The import law (ARCHITECTURE.md): a file imports from its own folder or from a lower layer, types included.
// `checkImports(root)` returns what it read and what breaks the law; run as a script it prints that and exits 1.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Layer of each folder or file directly under src/. */
const LAYERS = {
  base: 0,
  backend: 1,
  load: 1,
  kv: 2,
  attention: 3,
  model: 4,
  engine: 5,
  "open.ts": 6,
  "open-options.ts": 6,
  "choose-backend.ts": 6,
  "self-test.ts": 6,
  "doctor.ts": 6,
  "fit-context.ts": 6,
  "inspect.ts": 6,
  "index.ts": 6,
  node: 6,
  browser: 6,
  server: 7,
  cli: 8,
};
const OUTSIDE = ["eval", "bench", "web"];
// Kernel benchmarks time single backend steps, which the public exports do not show.
const MAY_USE_BACKENDS = /^bench\/kernels\//;
const BENCHED = /^src\/(base|backend|node)\//;
// Whole steps without an engine: the benchmark puts decoder and backend together itself.
const DRIVES_DECODER = /^bench\/(webgpu|steps)\//;
const PUBLIC = ["src/index.ts", "src/node/index.ts", "src/browser/index.ts"];
/** The folders that know their place; nothing beside them imports them. */
const PLACES = ["node", "browser"];
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
 * Reads every .ts file under src, eval, bench and web below `root`, AssemblyScript included, tests excepted.
 * @returns {{ files: number, problems: string[] }}
 */
export function checkImports(root) {
  const files = ["src", ...OUTSIDE].flatMap((folder) => listFiles(root, folder));
  const graph = new Map();
  const problems = [];
  for (const file of files) {
    const targets = [];
    for (const specifier of importsOf(readFileSync(join(root, file), "utf8"))) {
      const target = resolveImport(file, specifier);
      const problem = target === undefined ? judgePackage(file, specifier) : judgeFile(file, target);
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
  const code = source.replace(COMMENT_OR_STRING, (text) =>
    // On one line a template's text cannot be taken for a statement.
    text.startsWith("/") ? " " : text.replaceAll("\n", " "),
  );
  return [...code.matchAll(STATEMENT), ...code.matchAll(DYNAMIC)].map((match) => match[2]);
}

function judgePackage(file, specifier) {
  const isBuiltin = specifier.startsWith("node:") || BUILTINS.has(specifier.split("/")[0]);
  if (isBuiltin && !MAY_USE_NODE.test(file))
    return "the core runs in browsers; Node modules belong in src/node or src/cli";
  return undefined;
}

function judgeFile(file, target) {
  const outside = OUTSIDE.find((folder) => file.startsWith(`${folder}/`));
  if (outside !== undefined) {
    if (target.startsWith(`${outside}/`) || PUBLIC.includes(target)) return undefined;
    if (DRIVES_DECODER.test(file) && target.startsWith("src/")) return undefined;
    if (MAY_USE_BACKENDS.test(file) && BENCHED.test(target)) return undefined;
    return `${outside} may import only ${PUBLIC.join(", ")} and its own files`;
  }
  const from = placeOf(file);
  const to = placeOf(target);
  if (from === undefined) return "the file's folder has no layer; give it one in scripts/check-imports.mjs";
  if (to === undefined) return "the target has no layer";
  if (POLICY.test(file) && POLICY.test(target)) return "a policy imports no other policy";
  const implementation = IMPLEMENTATION.exec(target)?.[1];
  if (implementation !== undefined && file !== "src/choose-backend.ts" && !PLACES.includes(from.name)) {
    const own = IMPLEMENTATION.exec(file)?.[1];
    if (own !== implementation)
      return "only src/choose-backend.ts, src/node, src/browser and tests name a concrete backend";
  }
  if (from.name === to.name || to.layer < from.layer) return undefined;
  if (from.layer === 6 && to.layer === 6 && !PLACES.includes(to.name)) return undefined;
  return `${from.name} is layer ${from.layer}, ${to.name} is layer ${to.layer}`;
}

function placeOf(file) {
  const parts = file.split("/");
  const name = parts[1] ?? "";
  if (parts[0] !== "src" || !Object.hasOwn(LAYERS, name)) return undefined;
  return { name, layer: LAYERS[name] };
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
    .filter((file) => file.endsWith(".ts") && !SKIPPED.test(file))
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
