// lavapipe for tests: Mesa's Vulkan on the CPU, the only one that has subgroup matrices, from 26 on. `node scripts/local-lavapipe.mjs`
// unpacks it into node_modules/.cache/lavapipe (nothing is installed) and prints the outcome to standard error. Only Debian's
// unstable release has it, so that it comes with that release's C library, under whose loader Node has to run.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensurePackages, libraryFolder, unpackedFolder } from "./debian-packages.mjs";

const ROOT = unpackedFolder("lavapipe");
const DRIVER = "libvulkan_lvp.so";

/**
 * Returns how to run Node with lavapipe as its only GPU: a program, what comes before the arguments of Node, and variables.
 * @returns {import("./local-lavapipe.d.mts").LavapipeNode | undefined} undefined if it is not unpacked
 */
export function lavapipeNode() {
  const libraries = libraryFolder(ROOT, DRIVER);
  if (libraries === undefined || process.arch !== "x64") return undefined;
  const loader = join(libraries, "ld-linux-x86-64.so.2");
  if (!existsSync(loader)) return undefined;
  const driver = join(ROOT, "lavapipe.json");
  const ICD = { api_version: "1.4.0", library_path: join(libraries, DRIVER) };
  writeFileSync(driver, JSON.stringify({ ICD, file_format_version: "1.0.0" }));
  return {
    program: loader,
    args: ["--library-path", libraries, process.execPath],
    env: { VK_DRIVER_FILES: driver, MESA_SHADER_CACHE_DIR: join(ROOT, "shaders") },
  };
}

// exits with 0 in any case: the tests say what they leave out
if (process.argv[1] === fileURLToPath(import.meta.url))
  ensurePackages({
    name: "lavapipe",
    packages: ["mesa-vulkan-drivers", "libvulkan1"],
    isThere: () => lavapipeNode() !== undefined,
    suite: "sid",
  });
