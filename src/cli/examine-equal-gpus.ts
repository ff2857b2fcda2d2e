/** The doctor's part for equal GPUs: each is examined in a process that sees it alone. */
import { examineApart, type examineMachine } from "../node/index.ts";

type Report = Awaited<ReturnType<typeof examineMachine>>;

/** Time for all self-tests of a card, kernels compiled anew. */
const TIMEOUT_MS = 300_000;

/** Adds the cards that the report leaves unopened and that a process of its own can open. */
export async function examineEqualGpus(report: Report): Promise<Report> {
  const { adapters, unopened = [], ...rest } = report.webgpu;
  if (unopened.length === 0) return report;
  const outputs = await examineApart(["doctor", "--json"], TIMEOUT_MS);
  const found = unopened.map((gpu) => {
    const output = outputs.get(gpu.index);
    if (output === undefined) return { gpu };
    if (output instanceof Error) return { gpu: { ...gpu, problem: output.message } };
    const [adapter] = (JSON.parse(output) as Report).webgpu.adapters;
    return adapter ? { gpu, adapter: { ...adapter, index: gpu.index, name: gpu.name } } : { gpu };
  });
  const examined = found.flatMap(({ adapter }) => adapter ?? []);
  const left = found.flatMap(({ gpu, adapter }) => (adapter ? [] : [gpu]));
  // The one that cannot be told apart is one of these.
  const own = left.length === 0 ? adapters.filter(({ index }) => index !== undefined) : adapters;
  return {
    ...report,
    webgpu: {
      adapters: [...own, ...examined].sort(byIndex),
      ...(left.length > 0 && { unopened: left }),
      ...rest,
    },
    isSound: report.isSound && examined.every(({ isSoftware, selfTest }) => isSoftware || selfTest.isRight),
  };
}

function byIndex(a: { readonly index?: number }, b: { readonly index?: number }): number {
  return (a.index ?? Number.POSITIVE_INFINITY) - (b.index ?? Number.POSITIVE_INFINITY);
}
