/**
 * Time of the JavaScript thread by subject, from V8's sampling profiler. A sample belongs to the file that runs; native calls, such as
 * Dawn's, to the file that makes them.
 */
import { type Profiler, Session } from "node:inspector/promises";

/** Microseconds between samples: at 100 the samples themselves double the time of a step. */
const SAMPLING_US = 500;

/** Time in which the thread waits. */
export const WAITING = "waits";

const DAWN = "calls of Dawn";
const SUBMIT = "submission";
const COLLECTOR = "garbage collection";
const NODE = "Node itself";
/** Of the profiler's own start and end, which are no part of a step. */
const PROFILER = "profiler";

/** Files of a subject, by their paths below the build's `src` and `bench`; the first that fits counts. */
const SUBJECTS: readonly (readonly [subject: string, files: RegExp])[] = [
  [WAITING, /^src\/base\/nap\./],
  [PROFILER, /^bench\/host\/subjects\./],
  ["worker messages", /^src\/worker\/|^src\/node\/worker/],
  ["tokens to text", /^src\/load\/|^src\/engine\/detokenizer\./],
  ["stop texts, markers", /^src\/engine\/(?:stop-text|thinking|output-stream)\./],
  [
    "queues, results",
    /^src\/engine\/(?:active-request|part-queue|request-|thinking-budget|token-rules|logprobs)/,
  ],
  [
    "read back",
    /^src\/backend\/webgpu\/(?:sample-reads|readbacks|patient-wait|device-watch|arrival-estimates)\./,
  ],
  ["sampling", /^src\/backend\/(?:webgpu\/(?:sampling-ops|logit-ops)\.|adjust-logits|sample)/],
  ["observing", /^src\/attention\/(?:observed-attention|observer|merge-heads)\./],
  ["schedule, batch", /^src\/(?:engine|kv)\/|^src\/model\/rope|^src\/backend\/webgpu\/step-buffer\./],
  ["record", /^src\/(?:model|attention|backend)\//],
  ["consumers", /^bench\//],
  ["promises, timers", /^src\/base\//],
];

/** Microseconds by subject of what runs from now until the function returned is called. */
export async function profileSubjects(): Promise<() => Promise<ReadonlyMap<string, number>>> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.setSamplingInterval", { interval: SAMPLING_US });
  await session.post("Profiler.start");
  return async () => {
    const { profile } = await session.post("Profiler.stop");
    session.disconnect();
    return bySubject(profile);
  };
}

function bySubject({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): ReadonlyMap<string, number> {
  const subjects = new Map<number, string>();
  const parents = new Map<number, Profiler.ProfileNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  for (const node of nodes) subjects.set(node.id, subjectOf(node, parents));
  const times = new Map<string, number>();
  samples.forEach((id, i) => {
    const subject = subjects.get(id) ?? NODE;
    times.set(subject, (times.get(subject) ?? 0) + (timeDeltas[i] ?? 0));
  });
  times.delete(PROFILER);
  return times;
}

function subjectOf(node: Profiler.ProfileNode, parents: ReadonlyMap<number, Profiler.ProfileNode>): string {
  if (node.callFrame.functionName === "(idle)") return WAITING;
  if (node.callFrame.functionName === "(garbage collector)") return COLLECTOR;
  let from: Profiler.ProfileNode | undefined = node;
  while (from && !from.callFrame.url.startsWith("file:")) from = parents.get(from.id);
  if (!from) return NODE;
  const [, file = ""] = /\/((?:src|bench)\/[^?]*)$/.exec(from.callFrame.url) ?? [];
  const [subject = NODE] = SUBJECTS.find(([, files]) => files.test(file)) ?? [];
  // samples of native code may lack a node of their own, so that these functions, which do little else, have them
  const { functionName } = from.callFrame;
  if (functionName === "queue.submit") return SUBMIT;
  if (functionName === "#recordAll") return DAWN;
  const isNative = from !== node;
  return isNative && /^src\/backend\/webgpu\//.test(file) && subject !== "read back" ? DAWN : subject;
}
