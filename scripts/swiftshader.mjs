// The GPU that tests of the WebGPU backend run on where there is none: SwiftShader, as Debian's chromium package brings
// it. `node scripts/swiftshader.mjs` installs that package where it can and says what it did on standard error; tests
// call `prepareVulkan()`.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ICD_FILES = [
  "/usr/lib/chromium/vk_swiftshader_icd.json", // Debian
  "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];
const LOADERS = ["x86_64-linux-gnu/", "aarch64-linux-gnu/", "", "../lib64/"].map(
  (folder) => `/usr/lib/${folder}libvulkan.so.1`,
);
const INSTALL_TIMEOUT_MS = 5 * 60_000; // 15 s on a good line, 357 MB on the disk
const SOFTWARE_ICD = /^(lvp|vk_swiftshader)_icd/;

/**
 * Points the Vulkan loader of this process, and of those it starts, at SwiftShader where there is no real GPU.
 * @returns {string | undefined} why there is no WebGPU to test on; undefined when there should be
 */
export function prepareVulkan() {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || hasRealGpu()) return undefined;
  const icd = findIcd();
  if (icd === undefined)
    return "SwiftShader is missing; run `node scripts/swiftshader.mjs` as root on Debian";
  if (!hasLoader()) return "the Vulkan loader libvulkan.so.1 is missing; install libvulkan1";
  process.env.VK_DRIVER_FILES = icd;
  return undefined;
}

/** Whether a GPU and a driver for it are there. Mesa's ICD files alone prove nothing: they come without hardware too. */
function hasRealGpu() {
  if (process.platform !== "linux") return true; // Metal and Direct3D 12 come with the system
  const hasDevice =
    list("/dev").some((name) => /^nvidia\d+$/.test(name)) ||
    list("/dev/dri").some((name) => name.startsWith("renderD"));
  const drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].flatMap(list);
  return hasDevice && drivers.some((name) => name.endsWith(".json") && !SOFTWARE_ICD.test(name));
}

function findIcd() {
  return ICD_FILES.find((path) => existsSync(path));
}

function hasLoader() {
  return LOADERS.some((path) => existsSync(path));
}

function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Installs what is missing. @returns {string} what was done, or why nothing could be */
function install() {
  if (hasRealGpu()) return "a GPU is there; SwiftShader is not needed";
  if (findIcd() !== undefined && hasLoader()) return "SwiftShader is there";
  if (process.getuid?.() !== 0) return "SwiftShader not installed: only root can (see CONTRIBUTING.md)";
  if (!existsSync("/etc/debian_version")) return "SwiftShader not installed: this is not Debian";
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
      return `SwiftShader not installed: apt-get ${args[0]}: ${result.error?.message ?? result.stderr.trim()}`;
  }
  return `installed chromium and libvulkan1 in ${((Date.now() - start) / 1000).toFixed(1)} s`;
}

// It never fails: whether a missing GPU is a failure or a skip is for the tests to say, where it is counted.
if (process.argv[1] === fileURLToPath(import.meta.url)) console.error(`setup: ${install()}`);
