/**
 * Fork and join. The main thread opens a gate on a job, takes items from a counter like every worker, closes the gate
 * and waits for the threads inside. A late worker finds the gate closed and goes back to waiting: a slow or sleeping
 * worker never delays a job, and results cannot depend on which thread ran an item.
 */
import { ARRIVED_ADDRESS, CONTROL_ADDRESS, FAILURE_ADDRESS } from "./layout";
import { setThread, tuning, workers } from "./state";

/** Counts the jobs of threads with an index below `tuning.streamThreads`; sleepers wait for the next. */
const EPOCH: usize = CONTROL_ADDRESS;
const SLEEPERS: usize = CONTROL_ADDRESS + 64;
const GATE: usize = CONTROL_ADDRESS + 128;
const COUNTER: usize = CONTROL_ADDRESS + 192;
/** Epoch and sleepers of all other threads, which small jobs neither wake nor keep from sleep. */
const WIDE_EPOCH: usize = CONTROL_ADDRESS + 256;
const WIDE_SLEEPERS: usize = CONTROL_ADDRESS + 320;
const STOP: usize = CONTROL_ADDRESS + 384;
/** Index of the job's function, number of its items. */
const JOB: usize = CONTROL_ADDRESS + 448;
const ARRIVED: usize = ARRIVED_ADDRESS;
/** 0, or why no job can run any more: see thread-failure.ts. A worker writes it when it dies, the join when it gives up. */
const FAILURE: usize = FAILURE_ADDRESS;
const GAVE_UP: i32 = 2;
/** From an epoch to its sleepers. */
const TO_SLEEPERS: usize = 64;
const OPEN: i32 = 1 << 16;
/** Milliseconds without a worker's answer before the join gives up: on a busy machine a worker may wait long for a core. */
const JOIN_LIMIT: f64 = 30000;
/** All threads, however many there are. */
export const ALL_THREADS: u32 = 0x7fffffff;

// @ts-ignore: decorator
@external("env", "now")
declare function now(): f64;

/** Threads for a job that reads `bytes` once: the caller alone if waking others takes longer than the job. */
export function streamThreads(bytes: u64): u32 {
  return bytes < <u64>tuning.soloBytes() ? 1 : tuning.streamThreads();
}

/**
 * Runs items 0..count-1 of a job whose parameters are set: on one thread, on `tuning.streamThreads`, or on all. The job
 * is a function of the item; every thread's instance has it under the same index.
 */
export function fork(job: (item: u32) => void, count: i32, threads: u32): void {
  if (!ASC_FEATURE_THREADS || count < 2 || threads < 2 || workers() == 0) {
    for (let i = 0; i < count; i++) job(i);
    return;
  }
  store<i32>(JOB, job.index);
  store<i32>(JOB, count, 4);
  atomic.store<i32>(COUNTER, 0);
  atomic.add<i32>(GATE, OPEN);
  announce(EPOCH);
  if (threads > tuning.streamThreads()) announce(WIDE_EPOCH);
  takeItems(job.index, count);
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
    // A worker that died inside a job never leaves the gate.
    if (atomic.load<i32>(FAILURE) != 0) unreachable();
    if (waited > JOIN_LIMIT) giveUp();
  }
}

/** Tells how the job stood, and traps. */
function giveUp(): void {
  store<i32>(FAILURE, atomic.load<i32>(GATE), 4);
  store<i32>(FAILURE, min<i32>(atomic.load<i32>(COUNTER), load<i32>(JOB, 4)), 8);
  store<i32>(FAILURE, load<i32>(JOB, 4), 12);
  atomic.store<i32>(FAILURE, GAVE_UP);
  unreachable();
}

function announce(epoch: usize): void {
  atomic.add<i32>(epoch, 1);
  if (atomic.load<i32>(epoch, TO_SLEEPERS) > 0) atomic.notify(epoch, -1);
}

function takeItems(job: u32, count: i32): void {
  for (;;) {
    const item = atomic.add<i32>(COUNTER, 1);
    if (item >= count) return;
    call_indirect<void>(job, item);
  }
}

/** Body of a worker: returns after `stop`. */
export function workerLoop(index: i32): void {
  if (!ASC_FEATURE_THREADS) return;
  atomic.add<i32>(ARRIVED, 1);
  let epoch = <usize>0;
  let seen = 0;
  for (;;) {
    const watched = <u32>index < tuning.streamThreads() ? EPOCH : WIDE_EPOCH;
    if (watched != epoch) {
      epoch = watched;
      seen = atomic.load<i32>(epoch);
    }
    if (!awaitEpoch(epoch, seen)) return;
    seen = atomic.load<i32>(epoch);
    const gate = atomic.add<i32>(GATE, 1);
    if (gate & OPEN) {
      setThread(index); // the scratch is set after the workers have started
      takeItems(load<u32>(JOB), load<i32>(JOB, 4));
    }
    atomic.sub<i32>(GATE, 1);
  }
}

/** Waits until an epoch differs from `seen`; false after `stop`. */
function awaitEpoch(epoch: usize, seen: i32): bool {
  const start = now();
  const limit = <f64>tuning.spinMicroseconds() / 1000;
  for (;;) {
    for (let i = 0; i < 512; i++) if (atomic.load<i32>(epoch) != seen) return atomic.load<i32>(STOP) == 0;
    if (atomic.load<i32>(STOP) != 0) return false;
    if (now() - start < limit) continue;
    atomic.add<i32>(epoch, 1, TO_SLEEPERS);
    atomic.wait<i32>(epoch, seen, -1);
    atomic.sub<i32>(epoch, 1, TO_SLEEPERS);
    return atomic.load<i32>(STOP) == 0;
  }
}

/** Ends all workers. */
export function stop(): void {
  if (!ASC_FEATURE_THREADS) return;
  atomic.store<i32>(STOP, 1);
  atomic.add<i32>(EPOCH, 1);
  atomic.notify(EPOCH, -1);
  atomic.add<i32>(WIDE_EPOCH, 1);
  atomic.notify(WIDE_EPOCH, -1);
}
