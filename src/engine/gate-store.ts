import type { BlockGates, PolicyHost } from "../attention/block-gates.ts";
import { gateMemory } from "../attention/kept-data.ts";
import type { AttentionModel } from "../attention/policy.ts";
import type { Backend, BlockGate } from "../backend/backend.ts";
import { ConfigError } from "../base/errors.ts";
import { Fingerprint } from "../base/fingerprint.ts";
import type { FileFolder } from "../load/byte-source.ts";
import { GATE_FILE, type GateFile, type GateWeights, openGateFile } from "../load/gates/gate-file.ts";
import type { Taking } from "./kept-memory.ts";
import type { RopeWriter } from "./step-batch.ts";

/** Where gates come from, and what they take from the model. */
export interface GateSource {
  /** Opens the folder of a location; undefined: the model's own. @throws ModelFileError, ConfigError */
  openFolder(location: string | undefined): Promise<FileFolder>;
  /** The model's RoPE over heads of another size. @throws ConfigError for one that has none */
  ropeOf(dim: number): RopeWriter;
}

/** Takes memory beside the cache, while nobody else uses the backend. */
export type TakeMemory = <T>(taking: Taking<T>) => Promise<T>;

interface GateStoreParts {
  readonly backend: Backend;
  readonly model: AttentionModel;
  readonly source: GateSource | undefined;
  readonly take: TakeMemory;
}

/** The gates of an engine: each location is loaded once, at its first use. */
export class GateStore implements PolicyHost {
  readonly #backend: Backend;
  readonly #model: AttentionModel;
  readonly #source: GateSource | undefined;
  readonly #take: TakeMemory;
  readonly #loads = new Map<string, Promise<BlockGates>>();

  constructor({ backend, model, source, take }: GateStoreParts) {
    this.#backend = backend;
    this.#model = model;
    this.#source = source;
    this.#take = take;
  }

  loadGates(location: string | undefined): Promise<BlockGates> {
    const key = location ?? "";
    const known = this.#loads.get(key);
    if (known) return known;
    const loading = this.#load(location);
    this.#loads.set(key, loading);
    // the next request tries again
    loading.catch(() => this.#loads.delete(key));
    return loading;
  }

  async #load(location: string | undefined): Promise<BlockGates> {
    const source = this.#source;
    if (!source) throw new ConfigError("loading a gate: this engine was made without a way to open files");
    const file = await openGate(source, location, this.#model);
    try {
      return await this.#make(file, source);
    } finally {
      await file.close();
    }
  }

  async #make(file: GateFile, source: GateSource): Promise<BlockGates> {
    const { blockSize, gateDim, startLayer, name } = file;
    const { pageSize } = this.#backend.capacity;
    if (blockSize % pageSize !== 0)
      throw new ConfigError(
        `attention seer-attention-r: the gate ${name} scores blocks of ${blockSize} tokens, no multiple of the KV cache's page ` +
          `size ${pageSize}; open the engine with a pageSize that divides ${blockSize}`,
      );
    // all files are read before memory is taken, which is not given back
    const weights: (GateWeights | undefined)[] = [];
    for (let layer = 0; layer < this.#model.numLayers; layer++) {
      const isGated = layer >= startLayer && this.#model.windows?.[layer] === undefined;
      weights.push(isGated ? await file.read(layer) : undefined);
    }
    const writer = file.usesRope ? source.ropeOf(gateDim) : undefined;
    const gates = await this.#take({
      ...{ policy: "seer-attention-r", what: `the gate ${name} and its data of cached tokens` },
      memory: gateMemory(file, this.#model),
      make: (): BlockGates => {
        const rope = writer && this.#backend.createTensor("f32", [this.#maxLength, gateDim]);
        const shared = { blockSize, gateDim, normEps: NORM_EPS, ...(rope && { rope }) };
        const layers = weights.map(
          (one): BlockGate | undefined => one && { ...shared, ...this.#layer(one, gateDim) },
        );
        const fingerprint = fingerprintOf(file, weights);
        return { name, fingerprint, startLayer, layers, ...shared };
      },
    });
    for (const [layer, one] of weights.entries()) this.#write(gates.layers[layer], one);
    const rope = gates.layers.find((gate) => gate?.rope)?.rope;
    if (writer && rope) this.#backend.write(rope, this.#ropeTable(writer, gateDim));
    return gates;
  }

  get #maxLength(): number {
    return this.#backend.capacity.maxSequenceLength;
  }

  #layer({ qNorm, kNorm }: GateWeights, gateDim: number) {
    const { numQueryHeads, numKvHeads, headDim } = this.#model;
    const tensor = (shape: readonly number[]) => this.#backend.createTensor("f32", shape);
    return {
      q: tensor([numQueryHeads, headDim, gateDim]),
      k: tensor([numKvHeads, 3 * headDim, gateDim]),
      ...(qNorm && { qNorm: tensor([gateDim]) }),
      ...(kNorm && { kNorm: tensor([gateDim]) }),
      pools: this.#backend.createPageTensor("f32", [numKvHeads, 3, headDim]),
      blockKeys: this.#backend.createPageTensor("f32", [numKvHeads, gateDim]),
    };
  }

  #write(gate: BlockGate | undefined, weights: GateWeights | undefined): void {
    if (!gate || !weights) return;
    for (const part of ["q", "k", "qNorm", "kNorm"] as const) {
      const [tensor, values] = [gate[part], weights[part]];
      if (tensor && values) this.#backend.write(tensor, values);
    }
  }

  #ropeTable(rope: RopeWriter, gateDim: number): Float32Array {
    const table = new Float32Array(this.#maxLength * gateDim);
    for (let position = 0; position < this.#maxLength; position++)
      rope.writeRow(position, table, position * gateDim, this.#maxLength);
    return table;
  }
}

function fingerprintOf(
  { blockSize, gateDim, startLayer, usesRope }: GateFile,
  weights: readonly (GateWeights | undefined)[],
): string {
  const fingerprint = new Fingerprint().addText(JSON.stringify([blockSize, gateDim, startLayer, usesRope]));
  for (const layer of weights)
    for (const values of [layer?.q, layer?.k, layer?.qNorm, layer?.kNorm]) {
      const { buffer, byteOffset, byteLength } = values ?? new Float32Array(0);
      fingerprint.addBytes(new Uint8Array(buffer, byteOffset, byteLength));
    }
  return fingerprint.toString();
}

/**
 * Opens the gate of a location; undefined: the one beside the model.
 * @throws ModelFileError, ConfigError
 */
export async function openGate(
  source: Pick<GateSource, "openFolder">,
  location: string | undefined,
  model: AttentionModel,
): Promise<GateFile> {
  const folder = await source.openFolder(location);
  if (location === undefined && !(await hasFile(folder)))
    throw new ConfigError(
      `attention seer-attention-r: there is no ${GATE_FILE} beside the model ${folder.name}; name a trained gate, as in ` +
        "seer-attention-r:gate=PATH",
    );
  return openGateFile(location === undefined ? ownGate(folder) : folder, model);
}

/** Of the norms of published gates, whatever the model's. */
const NORM_EPS = 1e-6;

/** The gate beside a model: of that name alone, since other files of a model's folder may have others'. */
function ownGate(folder: FileFolder): FileFolder {
  return { name: folder.name, open: (path, signal) => folder.open(path, signal), weightFile: GATE_FILE };
}

async function hasFile(folder: FileFolder): Promise<boolean> {
  const source = await folder.open(GATE_FILE);
  await source?.close?.();
  return source !== undefined;
}
