/**
 * The GPUs that WebGPU offers in Node, by number and name. Dawn lists them only in the message of a failed request, and opens
 * one by a part of its name alone, so that equal cards need `one-gpu-process.ts`.
 */
import { BackendError, ConfigError } from "../base/errors.ts";
import { openDawn, openPassingDawn } from "./dawn.ts";
import { type NvidiaCard, usableNvidiaCards } from "./nvidia-cards.ts";
import { GPU_VARIABLE, outputWithOneGpu, runWithOneGpu } from "./one-gpu-process.ts";

/** A GPU of this machine, as `listGpus` and `lessismore doctor` number it. */
export interface ListedGpu {
  readonly index: number;
  /** As the driver names the card. */
  readonly model: string;
  /** The model; of equal cards also the PCI address, if the system tells it. Unlike any other of the list. */
  readonly name: string;
  /** Address on the PCI bus, if the driver tells it. */
  readonly address?: string;
  /** Device files to hide from a process that is to see this card alone. Absent: WebGPU opens the card by its name. */
  readonly hide?: readonly string[];
  /** Reason that the card cannot be opened by any means here; absent if it can. */
  readonly problem?: string;
}

/** A GPU that this process can open. */
export interface FoundGpu extends ListedGpu {
  /** For people: number and name. */
  readonly label: string;
  /** Opens WebGPU on this card alone. The same function for the same card, so that its self-test runs once a process. */
  readonly open: () => Promise<GPU>;
}

/** A name that no card has: Dawn answers with the names of all. */
const NOBODY = "\u0001";
const LISTED = /^ \* backend: '[^']*', name: '(.*)'$/gm;

/** Lists the GPUs. @throws BackendError when WebGPU cannot be opened or offers none */
export async function listGpus(): Promise<readonly ListedGpu[]> {
  return nameGpus(await modelNames(), usableNvidiaCards());
}

/** Names of the adapters, in the order in which WebGPU tries them. */
async function modelNames(): Promise<readonly string[]> {
  const gpu = await openPassingDawn({ flags: [`adapter=${NOBODY}`] });
  const answer = await gpu
    .requestAdapter({ powerPreference: "high-performance" })
    .catch((error: unknown) => String(error));
  if (answer === null)
    throw new BackendError(
      "listing the GPUs: WebGPU offers no adapter; check the GPU's driver, or use the wasm backend",
    );
  const names = typeof answer === "string" ? [...answer.matchAll(LISTED)].map(([, name = ""]) => name) : [];
  if (names.length === 0)
    throw new BackendError(
      `listing the GPUs: expected a list of names from the package webgpu, got ${JSON.stringify(String(answer))}; ` +
        "leave out the device to take the first, or install the version of webgpu that package.json names",
    );
  return names;
}

/** Makes the list of WebGPU's names and the cards whose device files this process may open. */
export function nameGpus(models: readonly string[], cards: readonly NvidiaCard[]): readonly ListedGpu[] {
  return models.map((model, index) => {
    const equal = models.flatMap((other, at) => (other === model ? [at] : []));
    const known = cards.filter((card) => card.model === model);
    const nth = equal.indexOf(index);
    const card = known.length === equal.length ? known[nth] : undefined;
    const address = card && { address: card.address };
    const isFirst = models.findIndex((other) => other.includes(model)) === index;
    if (equal.length === 1 && isFirst) return { index, model, name: model, ...address };
    if (card) {
      const name = equal.length === 1 ? model : `${model} at ${card.address}`;
      const hide = cards.filter((other) => other !== card).map(({ file }) => file);
      return { index, model, name, ...address, hide };
    }
    const name = equal.length === 1 ? model : `${model} (${nth + 1} of ${equal.length})`;
    return { index, model, name, problem: cannotTell(model, equal.length, known.length) };
  });
}

function cannotTell(model: string, offered: number, known: number): string {
  return (
    `WebGPU tells cards apart by their names alone, and offers ${offered === 1 ? `another before it whose name contains "${model}"` : `${offered} named "${model}"`}; ` +
    `the system tells the PCI addresses of ${known} of them, and all are needed (/proc/driver/nvidia/gpus). ` +
    "Give the process one card: a container with one, DeviceAllow= of systemd, or the resources of a scheduler"
  );
}

/**
 * Finds the GPU that a device means: a number of the list, a name, a PCI address, or a part that one name alone has.
 * @throws ConfigError for one that is not there, with the list
 */
export function chooseGpu(gpus: readonly ListedGpu[], device: number | string): ListedGpu {
  const text = String(device).trim();
  const wanted = text.toLowerCase();
  const lists = [
    gpus.filter(({ index }) => /^\d+$/.test(text) && index === Number(text)),
    gpus.filter(({ name, model }) => name === text || model === text),
    gpus.filter(({ address }) => address !== undefined && wanted !== "" && isAddress(address, wanted)),
    gpus.filter(({ name }) => !/^\d*$/.test(text) && name.toLowerCase().includes(wanted)),
  ];
  const found = lists.find((list) => list.length > 0) ?? [];
  const [gpu] = found;
  if (gpu && found.length === 1) return gpu;
  const said = found.length === 0 ? "is not there" : `means ${found.length} of them; give a number`;
  throw new ConfigError(
    `device: GPU ${JSON.stringify(device)} ${said}; this machine has ${gpus.map(labelOf).join(", ")}`,
  );
}

function isAddress(address: string, wanted: string): boolean {
  return address === wanted || address.replace(/^0+:/, "") === wanted;
}

/** Number and name, for people. */
export function labelOf({ index, name }: Pick<ListedGpu, "index" | "name">): string {
  return `${index}: ${name}`;
}

/**
 * Finds a GPU that this process can open.
 * @throws ConfigError for one that is not there, BackendError for one that only another process can open, with the reason
 */
export async function findGpu(device: number | string): Promise<FoundGpu> {
  const gpus = await listGpus();
  const own = process.env[GPU_VARIABLE];
  const gpu = own === undefined ? chooseGpu(gpus, device) : onlyGpu(gpus, own);
  const { problem, hide } = gpu;
  if (problem !== undefined) throw new BackendError(`opening GPU ${labelOf(gpu)}: ${problem}`);
  if (hide !== undefined)
    throw new BackendError(
      `opening GPU ${labelOf(gpu)}: WebGPU tells cards apart by their names alone, so that a process which is to use this one must ` +
        "not see its equals; start it by the command line with --device, which does that, or in a container with this card alone",
    );
  return openable(gpu);
}

/**
 * Runs this program again where it sees the named card alone, if this process cannot tell the card from its equals.
 * @returns the exit code of that run; undefined if this process can open the card itself
 * @throws ConfigError for a card that is not there, BackendError if it cannot be opened by any means
 */
export async function rerunForGpu(device: number | string): Promise<number | undefined> {
  if (process.env[GPU_VARIABLE] !== undefined) return undefined;
  const { index, hide, address } = chooseGpu(await listGpus(), device);
  return hide === undefined || address === undefined ? undefined : runWithOneGpu({ index, address, hide });
}

/**
 * Runs this program with `args`, and `--device N`, for each card that has equals, where it sees that card alone.
 * @returns what each run printed, or why there was none, by number
 */
export async function examineApart(
  args: readonly string[],
  timeoutMs: number,
): Promise<ReadonlyMap<number, string | BackendError>> {
  const outputs = new Map<number, string | BackendError>();
  for (const { index, hide, address } of await listGpus()) {
    if (hide === undefined || address === undefined) continue;
    try {
      outputs.set(
        index,
        outputWithOneGpu({ index, hide, address }, [...args, "--device", String(index)], timeoutMs),
      );
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      outputs.set(index, error);
    }
  }
  return outputs;
}

/** A listed GPU that WebGPU opens by its name. */
export function openable(gpu: ListedGpu): FoundGpu {
  return { ...gpu, label: labelOf(gpu), open: openerOf(gpu.model) };
}

/**
 * The card that this process was started for, with its number among all; its equals must be out of sight.
 * own: the value of GPU_VARIABLE.
 * @throws BackendError if the card is not here, or an equal is
 */
export function onlyGpu(gpus: readonly ListedGpu[], own: string): ListedGpu {
  const [index, wanted] = own.split(" ");
  const gpu = gpus.find(({ address }) => address === wanted);
  if (gpu && gpu.hide === undefined && gpu.problem === undefined)
    return { ...gpu, index: Number(index), name: `${gpu.model} at ${wanted}` };
  throw new BackendError(
    `opening GPU ${own}: ${GPU_VARIABLE} says that this process sees no equal card beside it, but it sees ` +
      `${gpus.map(labelOf).join(", ")}; unset the variable, which the option --device sets for the process that it starts`,
  );
}

const openers = new Map<string, () => Promise<GPU>>();

/** Opens WebGPU on the first card of a model. */
export function openerOf(model: string): () => Promise<GPU> {
  const known = openers.get(model);
  if (known) return known;
  const open = () => openDawn({ flags: [`adapter=${model}`] });
  openers.set(model, open);
  return open;
}
