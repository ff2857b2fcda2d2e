// Finds the browser for tests: the machine's Chromium or Chrome, headless. On Debian, `node scripts/chromium.mjs` run as
// root installs the chromium package, which includes SwiftShader, and prints the outcome to standard error.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { hasRealGpu, hasSwiftShader } from "./swiftshader.mjs";

const PATHS = [
  "/usr/bin/chromium", // Debian
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];
const INSTALL_TIMEOUT_MS = 5 * 60_000; // 15 s on a good line, 357 MB on the disk

/** Flags that stop all requests except those of the page. */
const ARGS = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Returns the launch options for WebGPU on the machine's GPU, else on SwiftShader.
 * @returns {{ executablePath: string, args: string[] } | undefined} undefined without a Chromium
 */
export function chromiumLaunchOptions() {
  const executablePath = findChromium();
  if (executablePath === undefined) return undefined;
  const webgpu = ["--enable-unsafe-webgpu"];
  if (process.platform === "linux") webgpu.push("--enable-features=Vulkan");
  if (!hasRealGpu()) webgpu.push("--use-webgpu-adapter=swiftshader");
  return { executablePath, args: [...ARGS, ...webgpu] };
}

function findChromium() {
  return PATHS.find((path) => existsSync(path));
}

/** Installs missing packages. @returns {string} the outcome, or the reason for no installation */
function install() {
  if (findChromium() !== undefined && (hasRealGpu() || hasSwiftShader())) return "Chromium is there";
  if (process.getuid?.() !== 0) return "Chromium not installed: only root can (see CONTRIBUTING.md)";
  if (!existsSync("/etc/debian_version")) return "Chromium not installed: this is not Debian";
  const start = Date.now();
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", "chromium", "libvulkan1"],
  ]) {
    const timeout = INSTALL_TIMEOUT_MS - (Date.now() - start);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const result = spawnSync("apt-get", args, {
      env,
      timeout,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (result.status !== 0)
      return `Chromium not installed: apt-get ${args[0]}: ${result.error?.message ?? result.stderr.trim()}`;
  }
  return `installed chromium and libvulkan1 in ${((Date.now() - start) / 1000).toFixed(1)} s`;
}

// exits with 0 in any case: the tests decide whether a missing browser is a failure or a skip
if (process.argv[1] === fileURLToPath(import.meta.url)) console.error(`setup: ${install()}`);
