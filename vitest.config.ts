import { readdirSync } from "node:fs";
import { join } from "node:path";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { chromiumLaunchOptions } from "./scripts/chromium.mjs";

/** "cpu": suites and goldens leave WebGPU out, and take few problems; another Node runs them besides. */
const isCpuOnly = process.env.LESSISMORE_TESTS === "cpu";
const requiresWebGpu = process.env.LESSISMORE_REQUIRE_WEBGPU === "1";

/** What every project shares. */
const common = {
  testTimeout: 120_000,
  hookTimeout: 120_000,
  provide: {
    isCpuOnly,
    requiresWebGpu,
    goldenFolders: readdirSync(join(import.meta.dirname, "test/golden/hf")),
  },
};

const CACHE_HOME = join(import.meta.dirname, "node_modules/.cache");
const BROWSER_ONLY = "src/browser/**/*.test.ts";
const BOTH = ["test/conformance/*.test.ts", "test/golden/*.test.ts"];

const node: TestProjectConfiguration = {
  test: {
    ...common,
    name: "node",
    include: ["src/**/*.test.ts", "eval/**/*.test.ts", "bench/**/*.test.ts", "test/**/*.test.ts"],
    exclude: [BROWSER_ONLY, "node_modules", "dist"],
    pool: "forks",
    // what tests measure about this machine stays with this checkout
    env: { XDG_CACHE_HOME: CACHE_HOME, LOCALAPPDATA: CACHE_HOME },
    sequence: { groupOrder: 0 },
  },
};

/** Pages are cross-origin isolated, so that threads may share memory. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

function browser(): TestProjectConfiguration[] {
  const launchOptions = chromiumLaunchOptions();
  if (launchOptions === undefined && !requiresWebGpu) {
    console.warn("tests in a browser are skipped: no Chromium was found (CONTRIBUTING.md)");
    return [];
  }
  return [
    {
      server: { headers },
      optimizeDeps: { exclude: ["webgpu"] }, // Node's, and optional
      test: {
        ...common,
        name: "browser",
        include: [BROWSER_ONLY, ...BOTH],
        maxWorkers: 2,
        sequence: { groupOrder: 1 }, // after Node's: two cores are few
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

export default defineConfig({
  test: { maxWorkers: 2, projects: [node, ...browser()] },
});
