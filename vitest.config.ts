import { readdirSync } from "node:fs";
import { join } from "node:path";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { chromiumLaunchOptions } from "./scripts/chromium.mjs";

/** Set by scripts/test.mjs. Left out, `npx vitest run` has what `npm test` has, and the browser's. */
const SUITE = process.env.LESSISMORE_SUITE ?? "all";
/** Which backends the suites of each take (test/webgpu/environment.ts). */
const BACKENDS: Readonly<Record<string, string>> = {
  all: "all",
  quick: "cpu",
  "newer-node": "wasm",
  system: "webgpu, f32 cache",
};
const requiresWebGpu = process.env.LESSISMORE_REQUIRE_WEBGPU === "1";

/** What every project shares. */
const common = (backends = "all") => ({
  testTimeout: 120_000,
  hookTimeout: 120_000,
  provide: {
    backends,
    requiresWebGpu,
    goldenFolders: readdirSync(join(import.meta.dirname, "test/golden/hf")),
  },
});

const CACHE_HOME = join(import.meta.dirname, "node_modules/.cache");
const BROWSER_ONLY = "src/browser/**/*.test.ts";
/** They need a browser, or are long. */
const SYSTEM_ONLY = "**/*.system.test.ts";
/** They need subgroup matrices; test/webgpu/lavapipe.system.test.ts runs them on an software adapter that has them. */
const LAVAPIPE_ONLY = "test/lavapipe/*.test.ts";

const inNode = {
  pool: "forks",
  // what tests measure about this machine stays with this checkout
  env: { XDG_CACHE_HOME: CACHE_HOME, LOCALAPPDATA: CACHE_HOME },
} as const;

/** They take long for what they tell while one works, or start programs. */
const NOT_QUICK = [
  "src/backend/wasm/variants.test.ts",
  "test/{e2e,webgpu}/**",
  "test/golden/hugging-face.test.ts",
];

const node: TestProjectConfiguration = {
  test: {
    ...common(BACKENDS[SUITE]),
    ...inNode,
    name: "node",
    include: ["src", "eval", "bench", "web", "test"].map((folder) => `${folder}/**/*.test.ts`),
    exclude: [
      BROWSER_ONLY,
      SYSTEM_ONLY,
      LAVAPIPE_ONLY,
      ...(SUITE === "quick" ? NOT_QUICK : []),
      "node_modules",
      "dist",
    ],
    sequence: { groupOrder: 0 },
  },
};

/** What `npm test` has no time for: long runs, and WebGPU with the cache that is not the default, in larger sizes. */
const system: TestProjectConfiguration = {
  test: {
    ...common(BACKENDS.system),
    ...inNode,
    name: "system",
    include: [
      SYSTEM_ONLY,
      "test/conformance/{advance,attention,backend,edges,policy,pooling}.test.ts",
      "test/webgpu/kinds.test.ts",
    ],
    exclude: ["node_modules", "dist"],
    sequence: { groupOrder: 1 },
  },
};

/** In threads, since Node runs under another C library's loader, which would have to start processes too. */
const lavapipe: TestProjectConfiguration = {
  test: { ...common(), name: "lavapipe", pool: "threads", include: [LAVAPIPE_ONLY], testTimeout: 300_000 },
};

/** Pages are cross-origin isolated, so that threads may share memory. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

function browser(): TestProjectConfiguration[] {
  const launchOptions = chromiumLaunchOptions();
  if (launchOptions === undefined && !requiresWebGpu) return [];
  return [
    {
      server: { headers },
      optimizeDeps: { exclude: ["webgpu"] }, // Node's, and optional
      test: {
        ...common(),
        name: "browser",
        globalSetup: "test/hub/browser-hub.ts",
        include: [BROWSER_ONLY, "test/conformance/*.test.ts", "test/golden/*.test.ts"],
        exclude: [SYSTEM_ONLY, "node_modules", "dist"],
        maxWorkers: 2,
        sequence: { groupOrder: 2 }, // after Node's: two cores are few
        browser: {
          enabled: true,
          headless: true,
          screenshotFailures: false,
          provider: playwright({ launchOptions: launchOptions ?? { executablePath: "/usr/bin/chromium" } }),
          instances: [{ browser: "chromium" }],
        },
      },
    },
  ];
}

const projects = { system: [system, ...browser()], lavapipe: [lavapipe] }[SUITE] ?? [node, ...browser()];

export default defineConfig({ test: { maxWorkers: 2, projects } });
