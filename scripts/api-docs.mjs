// `npm run docs:api`: the reference of the public exports, into docs/api (which git ignores), or the folder that is named. A
// warning fails it: an export without a description, a link that leads nowhere, a public type that is not exported.
import { register } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = resolve(process.argv[2] ?? join(root, "docs/api"));

/** The package's entries by their sources, named as programs import them. */
const ENTRIES = {
  "src/node/index.ts": "lessismore",
  "src/browser/index.ts": "lessismore (browsers)",
  "src/node/worker.ts": "lessismore/worker",
  "src/browser/worker.ts": "lessismore/worker (browsers)",
  "src/ai-sdk/index.ts": "lessismore/ai-sdk",
  "src/server/index.ts": "lessismore/server",
  "eval/index.ts": "lessismore/eval",
};

/** Insides that public types mention: what a place gives an engine, and what only functions of the package make. */
const INSIDES = [
  ...[
    "BlockGate",
    "DeviceLimits",
    "EngineSolver",
    "GpuTuningReport",
    "OBSERVED",
    "PlaceToExamine",
    "RunProgress",
  ],
  ...["SummedRecord", "TokenizerSource", "TuningStore", "WasmHost"],
];

// TypeDoc reads programs through TypeScript 6; 7, which builds this package, has no such interface.
const hook = `export const resolve = (name, context, next) => next(name === "typescript" ? "typescript-6" : name, context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
const { Application } = await import("typedoc");

const app = await Application.bootstrap({
  name: "lessismore",
  entryPoints: Object.keys(ENTRIES).map((path) => join(root, path)),
  tsconfig: join(root, "tsconfig.json"),
  readme: "none",
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  intentionallyNotExported: INSIDES,
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ["Class", "Interface", "Function", "TypeAlias", "Variable", "Enum"],
});
const project = await app.convert();
if (!project) process.exit(1);
for (const entry of project.children ?? []) {
  const path = Object.keys(ENTRIES).find((path) => path.replace(/(\/index)?\.ts$/, "") === entry.name);
  if (path === undefined) throw new Error(`api-docs: ${entry.name} is no entry of the package`);
  entry.name = ENTRIES[path];
}
app.validate(project);
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
await app.generateDocs(project, out);
console.log(`api-docs: ${join(out, "index.html")}`);
