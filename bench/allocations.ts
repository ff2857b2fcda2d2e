/**
 * Bytes that JavaScript allocates while some work runs, garbage included.
 *
 * V8's sampling heap profiler takes one allocation in every `SAMPLING_BYTES` on average, native callers' too, and keeps those that
 * have been collected; it scales each sample to the bytes it stands for. So the sum estimates all allocations of the work, within a few
 * percent of a megabyte and more, wherever the objects have gone. Memory outside the heap, as of array buffers, is not in it.
 */
import { type HeapProfiler, Session } from "node:inspector";

const SAMPLING_BYTES = 4096;
/** Places in the source that are named. */
const MAX_SITES = 8;

export interface AllocationSite {
  /** Function and file of the code that allocated. */
  readonly where: string;
  readonly bytes: number;
}

export interface Allocations {
  readonly bytes: number;
  /** Functions that allocated most of them, largest share first. */
  readonly sites: readonly AllocationSite[];
}

export async function measureAllocations(work: () => Promise<void>): Promise<Allocations> {
  const session = new Session();
  session.connect();
  const post = <T>(send: (done: (error: Error | null, result: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      send((error, result) => (error ? reject(error) : resolve(result)));
    });
  // the types of node:inspector are of before these two flags
  const options: HeapProfiler.StartSamplingParameterType & Readonly<Record<string, unknown>> = {
    samplingInterval: SAMPLING_BYTES,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  };
  try {
    await post<object | undefined>((done) => session.post("HeapProfiler.startSampling", options, done));
    await work();
    const { profile } = await post<HeapProfiler.StopSamplingReturnType>((done) =>
      session.post("HeapProfiler.stopSampling", done),
    );
    return summarise(profile.head);
  } finally {
    session.disconnect();
  }
}

function summarise(head: HeapProfiler.SamplingHeapProfileNode): Allocations {
  const bytesOf = new Map<string, number>();
  let bytes = 0;
  const nodes = [head];
  for (let node = nodes.pop(); node; node = nodes.pop()) {
    nodes.push(...node.children);
    if (node.selfSize === 0) continue;
    bytes += node.selfSize;
    const { functionName, url, lineNumber } = node.callFrame;
    const file = url === "" ? "" : ` ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
    const where = `${functionName || "(anonymous)"}${file}`;
    bytesOf.set(where, (bytesOf.get(where) ?? 0) + node.selfSize);
  }
  const sites = [...bytesOf].map(([where, siteBytes]) => ({ where, bytes: siteBytes }));
  return { bytes, sites: sites.sort((a, b) => b.bytes - a.bytes).slice(0, MAX_SITES) };
}
