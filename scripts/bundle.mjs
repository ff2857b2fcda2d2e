// Bundles what Node loads into dist/bundle/node, and what pages without a bundler load into dist/bundle/browser: the command line
// and the package's entries, with their dependencies. Some 300 modules take Node 0.13 s to find and read, the bundle a quarter of
// that. The entries of a place share their modules, so that an error of one is an instance of the other's class.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Each folder is as far from dist/wasm and package.json as dist/src/node is: one relative URL is right in all. */
const PLACES = {
  node: {
    platform: "node",
    input: {
      main: "src/cli/main.ts",
      index: "src/node/index.ts",
      eval: "eval/index.ts",
      worker: "src/node/worker.ts",
      "worker-main": "src/node/worker-main.ts",
      "ai-sdk": "src/ai-sdk/index.ts",
      server: "src/server/index.ts",
    },
    // Packages that load files of their own: native code, a WebAssembly module.
    external: ["webgpu", "@resvg/resvg-wasm"],
  },
  browser: {
    platform: "browser",
    input: {
      index: "src/browser/index.ts",
      worker: "src/browser/worker.ts",
      "worker-main": "src/browser/worker-main.ts",
      "ai-sdk": "src/ai-sdk/index.ts",
    },
    external: [],
  },
};

for (const [place, { platform, input, external }] of Object.entries(PLACES)) {
  const folder = join(root, "dist/bundle", place);
  const bundle = await rolldown({ cwd: root, platform, input, external });
  const { output } = await bundle.write({
    dir: folder,
    format: "esm",
    // The maps lead to sources that the published package does not have, so no file names its map.
    sourcemap: "hidden",
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    // Comments go, a third of the text to read. Lines and names stay: Node prints the line of an error that nobody catches.
    comments: false,
  });
  await bundle.close();
  writeFileSync(join(folder, "licences.txt"), licencesOf(output));
}

/** The licences of the bundled packages, which ask for copies of themselves. */
function licencesOf(chunks) {
  const ids = chunks.flatMap((chunk) => (chunk.type === "chunk" ? Object.keys(chunk.modules) : []));
  const packages = new Set(
    ids.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replaceAll("\\", "/"))?.[0] ?? []),
  );
  const texts = [...packages].sort().map((folder) => {
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    if (!file || !existsSync(join(folder, "package.json")))
      throw new Error(`${folder} has no licence to copy`);
    const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return texts.join("\n----\n\n");
}
