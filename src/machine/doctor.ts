/** Examines a machine: its backends, whether each computes correctly, and the choice of "auto". */
import type { BackendName, TuningReport } from "../backend/backend.ts";
import { BackendError } from "../base/errors.ts";
import {
  type AdapterReport,
  type BackendHost,
  reportAdapter,
  type TuningMode,
  WASM,
  webGpuCandidate,
} from "./backends.ts";
import { chooseKind } from "./choose-backend.ts";
import {
  SELF_TEST_LAYERS,
  type SelfTest,
  type SelfTestLayer,
  testCandidate,
  testLayers,
} from "./test-candidate.ts";
import { type GpuTuningReport, tuneGpu } from "./tune-gpu.ts";

/** A self-test, or why it could not be run. */
export type TestReport =
  | (SelfTest & { readonly isRight: boolean })
  | { readonly problem: string; readonly isRight: false };

/** A GPU that the place lists, opened alone, or the reason that this process cannot open it. */
export type GpuToExamine =
  | {
      /** The number that `device` takes; absent if it is not known which one WebGPU opens. */
      readonly index?: number;
      /** As `device` names it. */
      readonly name: string;
      readonly open: () => Promise<GPU>;
    }
  | UnopenedGpu;

/** A GPU that this process cannot open. */
export interface UnopenedGpu {
  readonly index: number;
  readonly name: string;
  readonly problem: string;
}

/** An adapter of WebGPU, with the results of its tests. */
export type ExaminedAdapter = AdapterReport & {
  /** The number that `device` takes, where it is known. */
  readonly index?: number;
  /** Present if the doctor was asked to choose the sizes of its kernels, or if some are kept. */
  readonly tuning?: GpuTuningReport | TuningReport;
  readonly selfTest: TestReport;
};

/** The backends of a machine, each with the results of its tests. */
export interface MachineReport {
  readonly wasm: {
    /** Threads that compute, the caller's included. */
    readonly threads: number;
    /** The build of the kernels for this JavaScript engine, such as "simd-threads". */
    readonly build: string;
    readonly hasRelaxedSimd: boolean;
    /** Absent if the backend could not be opened. */
    readonly tuning?: TuningReport;
    readonly selfTest: TestReport;
  };
  readonly webgpu: {
    readonly adapters: readonly ExaminedAdapter[];
    /** GPUs that another process can open. */
    readonly unopened?: readonly UnopenedGpu[];
    /** Reason for a missing adapter; absent if there is one. */
    readonly problem?: string;
  };
  readonly auto: { readonly backend: BackendName; readonly why: string };
  /** True if every device that "auto" could take computes correctly: the CPU, and any real GPU. */
  readonly isSound: boolean;
}

/** How to examine a machine. */
export interface ExamineOptions {
  /** "auto", the default, uses a stored tuning; "measure" replaces it by a new measurement. */
  readonly tuning?: TuningMode;
  /** Times variants of kernels on each GPU, less than a minute each, and keeps the choice. Default: false. */
  readonly tunesGpus?: boolean;
}

/** What a place adds. */
export interface PlaceToExamine {
  /** Lists the GPUs to examine. Absent: those that WebGPU's own preferences lead to. @throws BackendError */
  readonly listGpus?: () => Promise<readonly GpuToExamine[]>;
}

/** Examines a machine: runs the self-test on every adapter and on the CPU. */
export async function examineMachineWith(
  host: BackendHost,
  { tuning = "auto", tunesGpus = false, listGpus }: ExamineOptions & PlaceToExamine = {},
): Promise<MachineReport> {
  const wasm = await examineCpu(host, tuning);
  const webgpu = await examineGpus({ ...host, tunesGpus }, listGpus);
  const { kind, why } = await chooseKind(host, host.gpuName === undefined ? {} : { backend: "webgpu" });
  const used = webgpu.adapters.filter(({ isSoftware }) => !isSoftware);
  return {
    wasm,
    webgpu,
    auto: { backend: kind.name, why },
    isSound: [wasm, ...used].every(({ selfTest }) => selfTest.isRight),
  };
}

async function examineCpu({ wasm }: BackendHost, mode: TuningMode): Promise<MachineReport["wasm"]> {
  let build = "";
  let tuning: TuningReport | undefined;
  // The host sees which build the backend requests.
  const loadModule: typeof wasm.loadModule = (name) => {
    build = name;
    return wasm.loadModule(name);
  };
  const test = async (layer: SelfTestLayer) => {
    // Later layers take the choices that the first has stored.
    const options = { tuning: tuning === undefined ? mode : ("auto" as const) };
    const { open, allowedError } = await WASM.probe({ wasm: { ...wasm, loadModule } }, options);
    const opened: typeof open = async (...sizes) => {
      const backend = await open(...sizes);
      tuning ??= backend.report().tuning;
      return backend;
    };
    return testCandidate({ open: opened, allowedError }, layer);
  };
  const selfTest = await report(() => testLayers(test, SELF_TEST_LAYERS));
  return {
    threads: build.endsWith("-threads") ? wasm.maxThreads : 1,
    build,
    hasRelaxedSimd: build.startsWith("relaxed-"),
    ...(tuning && { tuning }),
    selfTest,
  };
}

/** What GPUs are examined with. */
type GpuExamination = Pick<BackendHost, "openGpu" | "gpuTunings"> & { readonly tunesGpus: boolean };

async function examineGpus(
  host: GpuExamination,
  listGpus: PlaceToExamine["listGpus"],
): Promise<MachineReport["webgpu"]> {
  const adapters = new Map<string, ExaminedAdapter>();
  try {
    if (listGpus) return await examineListed(await listGpus(), host);
    const gpu = await host.openGpu();
    // WebGPU lists no adapters; these options request different ones.
    for (const options of [
      { powerPreference: "high-performance" },
      { powerPreference: "low-power" },
      { forceFallbackAdapter: true },
    ] as const) {
      const adapter = await gpu.requestAdapter(options);
      if (!adapter) continue;
      const found = reportAdapter(adapter);
      const key = JSON.stringify([found.name, found.vendor, found.architecture, found.device]);
      if (!adapters.has(key))
        adapters.set(key, {
          ...found,
          ...(await examineAdapter(host.openGpu, () => gpu.requestAdapter(options), host)),
        });
    }
  } catch (error) {
    if (error instanceof BackendError) return { adapters: [...adapters.values()], problem: error.message };
    throw error;
  }
  if (adapters.size === 0)
    return { adapters: [], problem: "WebGPU offers no adapter; check the GPU's driver" };
  return { adapters: [...adapters.values()] };
}

async function examineListed(
  gpus: readonly GpuToExamine[],
  examination: GpuExamination,
): Promise<MachineReport["webgpu"]> {
  const adapters: ExaminedAdapter[] = [];
  const unopened: UnopenedGpu[] = [];
  for (const listed of gpus) {
    if ("problem" in listed) {
      unopened.push({ index: listed.index, name: listed.name, problem: listed.problem });
      continue;
    }
    const { index, name, open } = listed;
    const gpu = await open();
    const find = () => gpu.requestAdapter({ powerPreference: "high-performance" });
    const adapter = await find();
    if (!adapter) throw new BackendError(`opening GPU ${name}: WebGPU lists it, and offers no adapter`);
    const examined = await examineAdapter(open, find, examination);
    adapters.push({ ...reportAdapter(adapter), ...(index !== undefined && { index }), name, ...examined });
  }
  return { adapters, ...(unopened.length > 0 && { unopened }) };
}

/**
 * Tunes an adapter if asked to, then tests it. `find` finds it again for each layer of the test: it gives one device. source: its
 * origin.
 */
async function examineAdapter(
  source: object,
  find: () => Promise<GPUAdapter | null>,
  { gpuTunings, tunesGpus }: GpuExamination,
): Promise<Pick<ExaminedAdapter, "tuning" | "selfTest">> {
  const again = async () => {
    const adapter = await find();
    if (!adapter) throw new BackendError("testing a GPU: WebGPU offers its adapter no more");
    return adapter;
  };
  let tuning: ExaminedAdapter["tuning"] = tunesGpus ? await tune(await again(), gpuTunings) : undefined;
  const options = gpuTunings ? { tunings: gpuTunings } : {};
  const test = async (layer: SelfTestLayer) => {
    const candidate = webGpuCandidate(await again(), source, options);
    const open: typeof candidate.open = async (...sizes) => {
      const backend = await candidate.open(...sizes);
      tuning ??= backend.report().tuning;
      return backend;
    };
    return testCandidate({ ...candidate, open }, layer);
  };
  const selfTest = await report(() => testLayers(test, SELF_TEST_LAYERS));
  return { ...(tuning && { tuning }), selfTest };
}

/** A GPU that cannot be tuned, such as one without memory for the timed model, is tested all the same. */
async function tune(
  adapter: GPUAdapter,
  store: GpuExamination["gpuTunings"],
): Promise<NonNullable<ExaminedAdapter["tuning"]>> {
  try {
    return await tuneGpu(adapter, { store });
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { from: "default", choices: {}, note: `not tuned: ${error.message}` };
  }
}

async function report(run: () => Promise<SelfTest>): Promise<TestReport> {
  try {
    const test = await run();
    return { ...test, isRight: test.rows.every(({ isRight }) => isRight) };
  } catch (error) {
    if (error instanceof BackendError) return { problem: error.message, isRight: false };
    throw error;
  }
}
