// The demo page: `node scripts/web.mjs build [--out FOLDER]` writes it for a static host, `serve [--port N]` builds and
// serves it at a loopback address, with the headers that shared memory needs.
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, preview } from "vite";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MODEL = "models/pico-reasoner";
/** Not for a page: the host would serve it, and nobody reads it. */
const NOT_SERVED = /README\.md$/;
const SERVICE_WORKER = "service-worker.js";
const DEFAULT_PORT = 8080;

/** Pages with these headers may share memory with their workers. */
export const ISOLATING_HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Settings of Vite. Paths are relative, so that the page works at any path of a host. */
function settings(outDir) {
  return {
    root: join(root, "web"),
    configFile: false,
    logLevel: "warn",
    base: "./",
    worker: { format: "es" },
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      assetsInlineLimit: 0, // a strict content security policy forbids data: URLs
      rollupOptions: {
        checks: { pluginTimings: false },
        input: {
          index: join(root, "web/index.html"),
          "service-worker": join(root, "web/src/offline/service-worker.ts"),
        },
        output: {
          // its place decides which requests it sees
          entryFileNames: ({ name }) =>
            name === "service-worker" ? SERVICE_WORKER : "assets/[name]-[hash].js",
        },
      },
    },
  };
}

/** Builds the page into a folder, with the bundled model beside it. */
export async function buildWeb(outDir) {
  await build(settings(outDir));
  rmSync(join(outDir, "models"), { recursive: true, force: true });
  cpSync(join(root, MODEL), join(outDir, MODEL), {
    recursive: true,
    filter: (path) => !NOT_SERVED.test(path),
  });
  listFiles(outDir);
}

/** Tells the service worker which files it keeps, and names its caches by their content. */
function listFiles(outDir) {
  const all = readdirSync(outDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(outDir.length + 1)
        .split(sep)
        .join(posix.sep),
    )
    .filter((file) => file !== SERVICE_WORKER && !file.endsWith(".map"))
    .sort();
  const models = all.filter((file) => file.startsWith("models/"));
  // every browser that runs the page reads this format of its fonts
  const page = all.filter((file) => !file.startsWith("models/") && !/\.(woff|ttf)$/.test(file));
  const path = join(outDir, SERVICE_WORKER);
  const made = {
    files: page,
    pageVersion: fingerprint(outDir, page),
    modelVersion: fingerprint(outDir, models),
  };
  const source = readFileSync(path, "utf8");
  const told = source.replace(/(["'`])__MADE__\1/, () => JSON.stringify(JSON.stringify(made)));
  if (told === source) throw new Error(`${SERVICE_WORKER} has no place for the list of files`);
  writeFileSync(path, told);
}

function fingerprint(outDir, files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(outDir, file)));
  return hash.digest("hex").slice(0, 16);
}

/**
 * Serves a built page at a loopback address.
 * @returns {Promise<{ url: string, close(): Promise<void> }>}
 */
export async function serveWeb(outDir, { port = 0, headers = ISOLATING_HEADERS, base = "/" } = {}) {
  const server = await preview({
    ...{ configFile: false, logLevel: "error", base, build: { outDir } },
    preview: { host: "127.0.0.1", port, strictPort: port !== 0, headers },
  });
  const url = server.resolvedUrls?.local[0];
  if (url === undefined) throw new Error("the server of the page has no address");
  return { url, close: () => server.close() };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: "string", default: join(root, "out/web") },
      port: { type: "string", default: String(DEFAULT_PORT) },
    },
  });
  const [command = "serve"] = positionals;
  const port = Number(values.port);
  if (!["build", "serve"].includes(command) || !Number.isInteger(port) || port < 0 || port > 65535) {
    console.error("usage: node scripts/web.mjs [build|serve] [--out FOLDER] [--port N]");
    process.exitCode = 2;
    return;
  }
  await buildWeb(values.out);
  console.log(`built the page in ${values.out}: any static host can serve that folder`);
  if (command === "build") return;
  const { url } = await serveWeb(values.out, { port });
  console.log(`serving it at ${url} (Ctrl-C ends)`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await main().catch((error) => {
    console.error(`web: ${error.message}`);
    process.exitCode = 1;
  });
