/** Sizes that were chosen on a GPU and kept, by `tuned-sizes.ts`. */
import type { TuningStore } from "../tuning-store.ts";
import type { DeviceTraits } from "./device-traits.ts";
import { type Tuning, tuningFor } from "./tuning.ts";

/** Names a device, and the sizes that its kernels have by themselves: others by default are chosen among anew. */
export function tuningKeyOf(info: GPUAdapterInfo, traits: DeviceTraits): string {
  const { vendor, architecture, device, description } = info;
  return ["webgpu", vendor, architecture, device, description, JSON.stringify(tuningFor(traits))].join(" | ");
}

/** The sizes kept for a device; undefined if there are none, or if the text is foreign. A store that fails has none. */
export async function readKeptTuning(
  store: TuningStore | undefined,
  key: string,
  traits: DeviceTraits,
): Promise<Partial<Tuning> | undefined> {
  try {
    const text = await store?.read(key);
    return text === undefined ? undefined : parseKept(JSON.parse(text), key, tuningFor(traits));
  } catch {
    return undefined;
  }
}

/** @throws what the store throws */
export async function keepTuning(store: TuningStore, key: string, tuning: Partial<Tuning>): Promise<void> {
  await store.write(key, JSON.stringify({ key, tuning }));
}

function parseKept(kept: unknown, key: string, usual: Tuning): Partial<Tuning> | undefined {
  if (typeof kept !== "object" || kept === null || !("key" in kept) || kept.key !== key) return undefined;
  if (!("tuning" in kept) || typeof kept.tuning !== "object" || kept.tuning === null) return undefined;
  return isLike(kept.tuning, usual) ? kept.tuning : undefined;
}

/** True if every value has the form of the usual one, and every number is a size. */
function isLike(kept: object, usual: object): boolean {
  const known: Readonly<Record<string, unknown>> = { ...usual };
  return Object.entries(kept).every(([name, value]) => {
    const like = known[name];
    if (typeof like === "number") return Number.isSafeInteger(value) && value >= 1 && value <= 1 << 16;
    if (typeof like !== "object" || like === null) return false;
    if (typeof value !== "object" || value === null) return false;
    return Object.keys(like).length === Object.keys(value).length && isLike(value, like);
  });
}
