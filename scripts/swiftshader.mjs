// Finds SwiftShader, the software adapter for WebGPU tests on machines without a GPU. Debian's chromium package contains
// it; scripts/chromium.mjs installs that package.
import { existsSync, readdirSync } from "node:fs";

const ICD_FILES = [
  "/usr/lib/chromium/vk_swiftshader_icd.json", // Debian
  "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];
const LOADERS = ["x86_64-linux-gnu/", "aarch64-linux-gnu/", "", "../lib64/"].map(
  (folder) => `/usr/lib/${folder}libvulkan.so.1`,
);
const SOFTWARE_ICD = /^(lvp|vk_swiftshader)_icd/;

/**
 * Points the Vulkan loader of this process and its children at SwiftShader on a machine without a real GPU.
 * @returns {string | undefined} the reason why WebGPU is unavailable; undefined if it should be available
 */
export function prepareVulkan() {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || hasRealGpu()) return undefined;
  const icd = findIcd();
  if (icd === undefined) return "SwiftShader is missing; run `node scripts/chromium.mjs` as root on Debian";
  if (!hasLoader()) return "the Vulkan loader libvulkan.so.1 is missing; install libvulkan1";
  process.env.VK_DRIVER_FILES = icd;
  return undefined;
}

/** Returns true if the machine has a GPU and a driver. ICD files alone do not count: Mesa installs them without hardware. */
export function hasRealGpu() {
  if (process.platform !== "linux") return true; // Metal and Direct3D 12 come with the system
  const hasDevice =
    list("/dev").some((name) => /^nvidia\d+$/.test(name)) ||
    list("/dev/dri").some((name) => name.startsWith("renderD"));
  const drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].flatMap(list);
  return hasDevice && drivers.some((name) => name.endsWith(".json") && !SOFTWARE_ICD.test(name));
}

/** Returns true if Node can compute on SwiftShader. */
export function hasSwiftShader() {
  return findIcd() !== undefined && hasLoader();
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
