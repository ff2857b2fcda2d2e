/**
 * Choices for the processor: numbers that kernels read from memory, none of which changes a result. The first backend on a
 * machine measures them (`measure-tuning.ts`), the host's store keeps them, and `report()` shows them.
 */
import type { WeightFormat } from "../../base/weight-format.ts";
import type { TuningReport } from "../backend.ts";
import type { TuningStore } from "../tuning-store.ts";
import type { Word } from "./memory-map.ts";

interface Tunable {
  /** The default: used if nothing was measured. */
  readonly default: number;
  readonly least: number;
  readonly most: number;
}

const AHEAD: Tunable = { default: 0, least: 0, most: 1 << 16 };
const ITEM: Tunable = { default: 1 << 17, least: 1 << 12, most: 1 << 22 };
const SWITCH: Tunable = { default: 1, least: 0, most: 1 };

/** Every choice, by the name of its word; assembly/state.ts documents each. */
export const TUNABLES = {
  aheadF32: AHEAD,
  itemF32: ITEM,
  aheadBf16: AHEAD,
  itemBf16: ITEM,
  aheadF16: AHEAD,
  itemF16: ITEM,
  itemQuantised: ITEM,
  attendTouch: SWITCH,
  attendBlock: { default: 4096, least: 1024, most: 1 << 20 },
  attendSpan: SWITCH,
  streamThreads: { default: 256, least: 1, most: 256 },
  soloBytes: { default: 1 << 14, least: 0, most: 1 << 20 },
  spinMicroseconds: { default: 200, least: 50, most: 2000 },
} as const satisfies Partial<Record<Word, Tunable>>;

export type TuningName = keyof typeof TUNABLES;
export type Tuning = Readonly<Record<TuningName, number>>;

/** Weight formats that kernels stream, the likeliest first, and their words. */
export const WEIGHT_KINDS = [
  { format: "bf16", ahead: "aheadBf16", item: "itemBf16" },
  { format: "f32", ahead: "aheadF32", item: "itemF32" },
  { format: "f16", ahead: "aheadF16", item: "itemF16" },
] as const satisfies readonly {
  format: WeightFormat;
  ahead: TuningName;
  item: TuningName;
}[];

export const TUNING_NAMES: readonly TuningName[] = Object.keys(TUNABLES).filter(isTuningName);

export const DEFAULT_TUNING: Tuning = tuningOf((name) => TUNABLES[name].default);

function tuningOf(value: (name: TuningName) => number): Tuning {
  const values: Partial<Record<TuningName, number>> = {};
  for (const name of TUNING_NAMES) values[name] = value(name);
  return values as Tuning;
}

function isTuningName(name: string): name is TuningName {
  return Object.hasOwn(TUNABLES, name);
}

/** Source of the choices. auto: kept ones, else measured; measure: measured and kept; default: the defaults. */
export type TuningMode = "auto" | "measure" | "default";

export const TUNING_MODES: readonly TuningMode[] = ["auto", "measure", "default"];

/** Result of a measurement. */
export interface MeasuredTuning {
  readonly tuning: Tuning;
  readonly elapsedMs: number;
  /** Reason why some choices were not measured and keep their defaults. Such a result is not stored. */
  readonly unfinished?: string;
}

export interface TuningRequest {
  readonly mode: TuningMode;
  /** Everything but the machine that choices depend on: build of the kernels, number of threads. */
  readonly build: string;
  readonly store: TuningStore | undefined;
  readonly measure: () => Promise<MeasuredTuning>;
}

/** Choices of this process by key. Two backends that measure at once would disturb each other. */
const CHOSEN = new Map<string, Promise<TuningReport>>();

/** The choices for this machine and build. A failing store is no error: it costs a measurement. */
export async function chooseTuning(request: TuningRequest): Promise<TuningReport> {
  const { mode, build, store } = request;
  if (mode === "default") return { from: "default", choices: DEFAULT_TUNING };
  const key = `${store?.machine ?? "this process"} | ${build}`;
  const known = mode === "auto" ? CHOSEN.get(key) : undefined;
  if (known) return asKept(await known);
  const chosen = findTuning(request, key);
  CHOSEN.set(key, chosen);
  try {
    return await chosen;
  } catch (error) {
    CHOSEN.delete(key);
    throw error;
  }
}

/** Choices that this process measured before count as kept. */
function asKept(report: TuningReport): TuningReport {
  return report.from === "measured" ? { from: "kept", choices: report.choices } : report;
}

async function findTuning({ mode, store, measure }: TuningRequest, key: string): Promise<TuningReport> {
  if (mode === "auto") {
    const choices = await readKept(store, key);
    if (choices) return { from: "kept", choices };
  }
  const { tuning, elapsedMs, unfinished } = await measure();
  if (unfinished !== undefined) return { from: "default", choices: tuning, elapsedMs, note: unfinished };
  try {
    await store?.write(key, JSON.stringify({ key, choices: tuning }));
  } catch (error) {
    return { from: "measured", choices: tuning, elapsedMs, note: `not kept: ${String(error)}` };
  }
  return { from: "measured", choices: tuning, elapsedMs };
}

/** The choices kept under a key; undefined if there are none, or if the text is foreign or incomplete. */
async function readKept(store: TuningStore | undefined, key: string): Promise<Tuning | undefined> {
  try {
    const text = await store?.read(key);
    return text === undefined ? undefined : parseTuning(JSON.parse(text), key);
  } catch {
    return undefined;
  }
}

/** Kept choices; undefined unless every number is present and in its range. */
export function parseTuning(kept: unknown, key: string): Tuning | undefined {
  if (typeof kept !== "object" || kept === null || !("key" in kept) || kept.key !== key) return undefined;
  if (!("choices" in kept) || typeof kept.choices !== "object" || kept.choices === null) return undefined;
  const given = new Map<string, unknown>(Object.entries(kept.choices));
  const isWhole = TUNING_NAMES.every((name) => {
    const value = given.get(name);
    const { least, most } = TUNABLES[name];
    return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
  });
  return isWhole ? tuningOf((name) => Number(given.get(name))) : undefined;
}

/** A short name that tells builds apart: FNV-1a of the bytes. */
export function fingerprint(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
