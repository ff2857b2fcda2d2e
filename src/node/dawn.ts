/** WebGPU in Node: Dawn, from the optional package `webgpu`. */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { BackendError } from "../base/errors.ts";

export interface DawnOptions {
  /** Dawn toggles to enable besides the defaults here. */
  readonly enable?: readonly string[];
  /** Dawn toggles to disable besides the defaults here. */
  readonly disable?: readonly string[];
  /** Further flags of webgpu's `create`, such as "adapter=NAME" or "verbose=1". */
  readonly flags?: readonly string[];
}

/** Dawn disables f16 on NVIDIA under Vulkan and rounds timestamps to 100 µs, to protect web pages. A local program needs neither. */
const ENABLE = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
const DISABLE = ["timestamp_quantization"];

/** Dawn destroys the instance when the `GPU` object is garbage-collected, even while its devices are in use: keep a reference. */
const kept = new Set<GPU>();

/**
 * Loads Dawn and returns its GPU object. Devices made from it do not keep the process alive.
 * @throws BackendError when the package, or on Linux a Vulkan driver, is missing.
 */
export async function openDawn(options: DawnOptions = {}): Promise<GPU> {
  const gpu = await openPassingDawn(options);
  kept.add(gpu);
  return gpu;
}

/** The same for questions to Dawn: it ends when nobody refers to the object any more. @throws BackendError */
export async function openPassingDawn(options: DawnOptions = {}): Promise<GPU> {
  if (lacksDriver())
    throw new BackendError(
      "opening WebGPU: no Vulkan driver was found (no ICD file in the Vulkan folders, nor in VK_DRIVER_FILES); " +
        "install the GPU's Vulkan driver and libvulkan1, or use the wasm backend",
    );
  const { create } = await importDawn();
  return create([
    // OpenGL, Dawn's other backend on Linux, lacks subgroups.
    ...(process.platform === "linux" ? ["backend=vulkan"] : []),
    `enable-dawn-features=${[...ENABLE, ...(options.enable ?? [])].join(",")}`,
    `disable-dawn-features=${[...DISABLE, ...(options.disable ?? [])].join(",")}`,
    ...(options.flags ?? []),
  ]);
}

async function importDawn(): Promise<{ create(flags: string[]): GPU }> {
  try {
    return await import("webgpu");
  } catch (cause) {
    throw new BackendError(
      `opening WebGPU: the package webgpu did not load on ${process.platform}-${process.arch}: ` +
        `${cause instanceof Error ? cause.message : String(cause)}; run \`npm install webgpu\`, or use the wasm backend`,
      { cause },
    );
  }
}

/** True if this machine cannot have WebGPU; false if only opening it shows. */
export function lacksDriver(): boolean {
  return process.platform === "linux" && !hasVulkanDriver();
}

/** True if the Vulkan loader would find a driver. Without one Dawn would print warnings in every run. */
function hasVulkanDriver(): boolean {
  const { env } = process;
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES ?? env.VK_ADD_DRIVER_FILES;
  if (named) return named.split(delimiter).some((path) => existsSync(path));
  const roots = [
    ...["/etc", "/usr/local/etc", "/usr/share", "/usr/local/share", "/run/opengl-driver/share"],
    ...(env.XDG_CONFIG_HOME ? [env.XDG_CONFIG_HOME] : [join(homedir(), ".config")]),
    ...(env.XDG_DATA_HOME ? [env.XDG_DATA_HOME] : [join(homedir(), ".local/share")]),
    ...(env.XDG_DATA_DIRS?.split(delimiter) ?? []),
  ];
  return roots.some((root) => holdsJson(join(root, "vulkan/icd.d")));
}

function holdsJson(folder: string): boolean {
  try {
    return readdirSync(folder).some((name) => name.endsWith(".json"));
  } catch {
    return false;
  }
}
