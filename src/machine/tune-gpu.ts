/** Chooses the sizes of kernels on a GPU by timing their variants, each against the best so far, and keeps the choice. */
import type { TuningReport } from "../backend/backend.ts";
import { ALLOWED_ERROR } from "../backend/backend-kind.ts";
import type { TuningStore } from "../backend/tuning-store.ts";
import { withAllPages } from "../backend/with-all-pages.ts";
import { BackendError } from "../base/errors.ts";
import {
  adapterTraits,
  choicesOf,
  keepTuning,
  requestWebGpuDevice,
  TUNED_WORKS,
  type TunedWork,
  type Tuning,
  tunedSizesOf,
  tuningFor,
  tuningKeyOf,
  type WebGpuOptions,
  webGpuFactory,
} from "./backends.ts";
import { testCandidate } from "./test-candidate.ts";
import { TunedSteps, tunedCapacity, tunedModel } from "./tuned-steps.ts";

/** A result of `tuneGpu`. */
export interface GpuTuningReport extends TuningReport {
  /** Time of each kind of work with the choices over the time with the usual sizes. */
  readonly times: Readonly<Record<TunedWork, number>>;
  /** Variants that were timed. */
  readonly tried: number;
}

export interface TuneGpuOptions {
  /** Keeps the choice. Absent: it lasts for nobody. */
  readonly store?: TuningStore | undefined;
  /** Milliseconds after which no other variant is timed. Default: 50,000. */
  readonly limitMs?: number;
}

/** Of the usual sizes over themselves. */
const USUAL_TIMES: Readonly<Record<TunedWork, number>> = { step: 1, "sparse step": 1, batch: 1, prefill: 1 };

/** A variant replaces the best one if it takes this share of its time: noise is less. */
const BETTER = 0.97;
const ROUNDS = 7;
/** Of a side, in a round. */
const SAMPLE_MS = 4;
const MAX_CALLS = 64;

/**
 * Times variants on an adapter, which it uses up. Sizes that were chosen are tested against the reference before they are kept.
 * @throws BackendError if the adapter gives no device
 */
export async function tuneGpu(
  adapter: GPUAdapter,
  { store, limitMs = 50_000 }: TuneGpuOptions = {},
): Promise<GpuTuningReport> {
  const started = performance.now();
  const traits = adapterTraits(adapter);
  const usual = tuningFor(traits);
  const device = await requestWebGpuDevice(adapter);
  const trials = new Trials(adapter, device, traits.isSoftware);
  let chosen: Partial<Tuning> = {};
  let tried = 0;
  const notes: string[] = [];
  try {
    const isLate = () => performance.now() - started > limitMs;
    for (const { name, work, variants } of tunedSizesOf(traits)) {
      for (const variant of variants({ ...usual, ...chosen })) {
        if (isLate()) {
          notes.push(`after ${Math.round(limitMs / 1000)} s nothing past ${name} was timed`);
          break;
        }
        tried++;
        if ((await trials.compare(work, chosen, { ...chosen, ...variant })) < BETTER)
          chosen = { ...chosen, ...variant };
      }
      if (notes.length > 0) break;
    }
    let times = USUAL_TIMES;
    if (Object.keys(chosen).length > 0) times = await trials.timesOf(chosen);
    await trials.close();
    const open = webGpuFactory(adapter, { device, tuning: chosen });
    const { rows } = await testCandidate({ open, allowedError: ALLOWED_ERROR.f16 }, "decoder");
    const wrong = rows.filter(({ isRight }) => !isRight).map(({ op }) => op);
    if (wrong.length > 0) {
      notes.push(`not kept: with it ${wrong.join(", ")} failed the self-test`);
      chosen = {};
      times = USUAL_TIMES;
    } else if (store) {
      try {
        await keepTuning(store, tuningKeyOf(adapter.info, traits), chosen);
      } catch (error) {
        notes.push(`not kept: ${String(error)}`);
      }
    }
    return {
      ...{
        from: "measured",
        choices: choicesOf(chosen),
        elapsedMs: performance.now() - started,
        times,
        tried,
      },
      ...(notes.length > 0 && { note: notes.join("; ") }),
    };
  } finally {
    await trials.close();
    device.destroy();
  }
}

/** Steps of the timed model with the tunings in comparison; two are open at most. */
class Trials {
  readonly #adapter: GPUAdapter;
  readonly #device: GPUDevice;
  readonly #model: ReturnType<typeof tunedModel>;
  readonly #open = new Map<string, TunedSteps>();

  constructor(adapter: GPUAdapter, device: GPUDevice, isSoftware: boolean) {
    this.#adapter = adapter;
    this.#device = device;
    this.#model = tunedModel(isSoftware);
  }

  /** Median time of `other` over that of `base`, sides alternated; Infinity if the device refuses `other`. */
  async compare(work: TunedWork, base: Partial<Tuning>, other: Partial<Tuning>): Promise<number> {
    const two = await this.#tried(other, work);
    if (!two) return Number.POSITIVE_INFINITY;
    const one = await this.#steps(base);
    await timeOf(one, work, 1);
    const calls = Math.min(MAX_CALLS, Math.max(1, Math.ceil(SAMPLE_MS / (await timeOf(one, work, 1)))));
    const ratios: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const ms = await timeOf(one, work, calls);
      ratios.push((await timeOf(two, work, calls)) / ms);
    }
    await this.#keepOnly([base, other]);
    return ratios.sort((a, b) => a - b)[ROUNDS >> 1] as number;
  }

  /** Time of each kind of work over the time with the usual sizes. */
  async timesOf(tuning: Partial<Tuning>): Promise<Readonly<Record<TunedWork, number>>> {
    const times = { ...USUAL_TIMES };
    for (const work of TUNED_WORKS) times[work] = await this.compare(work, {}, tuning);
    return times;
  }

  /** Steps with a tuning that may be too much for the device; undefined if it is. */
  async #tried(tuning: Partial<Tuning>, work: TunedWork): Promise<TunedSteps | undefined> {
    try {
      const steps = await this.#steps(tuning);
      await timeOf(steps, work, 1);
      return steps;
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      // the other side may have seen the error of the device that both share
      await this.close();
      return undefined;
    }
  }

  async #steps(tuning: Partial<Tuning>): Promise<TunedSteps> {
    const name = JSON.stringify(tuning);
    const known = this.#open.get(name);
    if (known) return known;
    const options: WebGpuOptions = { device: this.#device, tuning };
    const backend = await withAllPages(webGpuFactory(this.#adapter, options))(
      this.#model.config,
      tunedCapacity(this.#model),
    );
    const steps = new TunedSteps(backend, this.#model);
    this.#open.set(name, steps);
    return steps;
  }

  async #keepOnly(tunings: readonly Partial<Tuning>[]): Promise<void> {
    const kept = tunings.map((tuning) => JSON.stringify(tuning));
    for (const name of [...this.#open.keys()]) if (!kept.includes(name)) await this.#close(name);
  }

  async #close(name: string): Promise<void> {
    await this.#open.get(name)?.backend.close();
    this.#open.delete(name);
  }

  async close(): Promise<void> {
    for (const name of [...this.#open.keys()]) await this.#close(name);
  }
}

/** Milliseconds of a step, by the host's clock: a GPU may have no timestamps. */
async function timeOf(steps: TunedSteps, work: TunedWork, calls: number): Promise<number> {
  const started = performance.now();
  for (let call = 0; call < calls; call++) steps.record(work);
  await steps.backend.finish();
  return (performance.now() - started) / calls;
}
