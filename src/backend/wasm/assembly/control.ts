/**
 * Fork and join. The main thread opens a gate on a job, takes items from a counter like every worker, closes the gate
 * and waits for those inside. A worker that comes late finds the gate closed and goes back to waiting, so a slow or
 * sleeping worker never holds a job up, and results cannot depend on who did what.
 */
import { runItem } from "./dispatch";
import { setThread, shape } from "./state";

const EPOCH: usize = 1024;
const GATE: usize = 1088;
const COUNTER: usize = 1152;
const SLEEPERS: usize = 1216;
const STOP: usize = 1280;
const JOB: usize = 1344;
const OPEN: i32 = 1 << 16;
/** Milliseconds without a worker's answer before the join gives up. */
const JOIN_LIMIT: f64 = 10000;
/** Milliseconds a worker spins before it sleeps. */
const SPIN_LIMIT: f64 = 0.2;

// @ts-ignore: decorator
@external("env", "now")
declare function now(): f64;

/** Runs items 0..count-1 of a job whose parameters are set; on one thread where that is all there is to gain. */
export function fork(job: i32, count: i32): void {
  if (!ASC_FEATURE_THREADS) {
    for (let i = 0; i < count; i++) runItem(job, i);
    return;
  }
  if (count < 2 || shape.workers() == 0) {
    for (let i = 0; i < count; i++) runItem(job, i);
    return;
  }
  store<i32>(JOB, job);
  store<i32>(JOB, count, 4);
  atomic.store<i32>(COUNTER, 0);
  atomic.add<i32>(GATE, OPEN);
  atomic.add<i32>(EPOCH, 1);
  if (atomic.load<i32>(SLEEPERS) > 0) atomic.notify(EPOCH, -1);
  takeItems(job, count);
  atomic.sub<i32>(GATE, OPEN);
  let spins = 0;
  let waited: f64 = 0;
  let last: f64 = 0;
  while (atomic.load<i32>(GATE) != 0) {
    if (++spins < 100000) continue;
    spins = 0;
    const t = now();
    // Capped: a suspended machine is not a dead worker.
    if (last != 0) waited += min<f64>(t - last, 100);
    last = t;
    if (waited > JOIN_LIMIT) unreachable();
  }
}

function takeItems(job: i32, count: i32): void {
  for (;;) {
    const item = atomic.add<i32>(COUNTER, 1);
    if (item >= count) return;
    runItem(job, item);
  }
}

/** Body of a worker: returns when `stop` was called. */
export function workerLoop(index: i32): void {
  setThread(index);
  if (!ASC_FEATURE_THREADS) return;
  let seen = atomic.load<i32>(EPOCH);
  for (;;) {
    if (!awaitEpoch(seen)) return;
    seen = atomic.load<i32>(EPOCH);
    const gate = atomic.add<i32>(GATE, 1);
    if (gate & OPEN) takeItems(load<i32>(JOB), load<i32>(JOB, 4));
    atomic.sub<i32>(GATE, 1);
  }
}

/** Waits until the epoch is another than `seen`; false on stop. */
function awaitEpoch(seen: i32): bool {
  const start = now();
  for (;;) {
    for (let i = 0; i < 512; i++) if (atomic.load<i32>(EPOCH) != seen) return atomic.load<i32>(STOP) == 0;
    if (atomic.load<i32>(STOP) != 0) return false;
    if (now() - start < SPIN_LIMIT) continue;
    atomic.add<i32>(SLEEPERS, 1);
    atomic.wait<i32>(EPOCH, seen, -1);
    atomic.sub<i32>(SLEEPERS, 1);
    return atomic.load<i32>(STOP) == 0;
  }
}

/** Ends all workers. */
export function stop(): void {
  if (!ASC_FEATURE_THREADS) return;
  atomic.store<i32>(STOP, 1);
  atomic.add<i32>(EPOCH, 1);
  atomic.notify(EPOCH, -1);
}
