/** Runs self-tests on a candidate: it is opened on a small layer, tested and closed. */
import type { Backend, BackendFactory, Capacity, ModelShape } from "../backend/backend.ts";
import type { BackendCandidate } from "../backend/backend-kind.ts";
import { withAllPages } from "../backend/with-all-pages.ts";
import { createReferenceBackend } from "./backends.ts";
import { FAMILY_TEST_CAPACITY, FAMILY_TEST_MODEL, runFamilyTest } from "./family-test.ts";
import { runGateTest } from "./gate-test.ts";
import { runSelectionTest } from "./selection-test.ts";
import { runSelfTest, SELF_TEST_CAPACITY, SELF_TEST_MODEL } from "./self-test.ts";
import type { SelfTestRow } from "./self-test-numbers.ts";
import { SMALL_CAPACITY, SMALL_LAYER } from "./small-layer.ts";

/** The result of a backend's self-test. */
export interface SelfTest {
  readonly rows: readonly SelfTestRow[];
  /** Includes opening the backend and compiling its kernels. */
  readonly elapsedMs: number;
}

interface TestedLayer {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly run: (tested: Backend, reference: Backend, allowed: number) => Promise<readonly SelfTestRow[]>;
}

/** The layers of self-tests, by what of a model they prove. */
const LAYERS = {
  decoder: { model: SELF_TEST_MODEL, capacity: SELF_TEST_CAPACITY, run: runSelfTest },
  families: { model: FAMILY_TEST_MODEL, capacity: FAMILY_TEST_CAPACITY, run: runFamilyTest },
  gates: { model: SMALL_LAYER, capacity: SMALL_CAPACITY, run: runGateTest },
  selection: { model: SMALL_LAYER, capacity: SMALL_CAPACITY, run: runSelectionTest },
} as const satisfies Readonly<Record<string, TestedLayer>>;

export type SelfTestLayer = keyof typeof LAYERS;

export const SELF_TEST_LAYERS = Object.keys(LAYERS) as readonly SelfTestLayer[];

/** The self-tests that prove what a model needs: a model of the plain decoder does not wait for kernels of others. */
export function layersFor({ activation, experts }: ModelShape): readonly SelfTestLayer[] {
  return activation !== "silu" || experts ? ["decoder", "families"] : ["decoder"];
}

/**
 * Tests a candidate on a layer.
 * @throws BackendError when it cannot be opened.
 */
export async function testCandidate(
  { open, allowedError }: Pick<BackendCandidate, "open" | "allowedError">,
  layer: SelfTestLayer,
): Promise<SelfTest> {
  const { model, capacity, run } = LAYERS[layer];
  const started = performance.now();
  const backend = await withAllPages(open)(model, capacity);
  try {
    const reference = await referenceFor(backend, layer);
    const rows = await run(backend, reference, allowedError);
    return { rows, elapsedMs: performance.now() - started };
  } finally {
    await backend.close();
  }
}

/** The reference on a layer, with the cache of a backend under test: rounded keys are other keys. */
export async function referenceFor(
  { cacheDtype }: Pick<Backend, "cacheDtype">,
  layer: SelfTestLayer = "decoder",
): Promise<Backend> {
  const open: BackendFactory = (model, capacity) => createReferenceBackend(model, capacity, cacheDtype);
  return withAllPages(open)(LAYERS[layer].model, LAYERS[layer].capacity);
}

/** All tests of a backend as one. `probe` finds a candidate anew: one adapter gives one device. */
export async function testLayers(
  probe: (layer: SelfTestLayer) => Promise<SelfTest>,
  layers: readonly SelfTestLayer[],
): Promise<SelfTest> {
  const rows: SelfTestRow[] = [];
  let elapsedMs = 0;
  for (const layer of layers) {
    const test = await probe(layer);
    rows.push(...test.rows);
    elapsedMs += test.elapsedMs;
  }
  return { rows, elapsedMs };
}
