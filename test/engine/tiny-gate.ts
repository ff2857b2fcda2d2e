/** A random gate of SeerAttention-R for the tiny model, as a file in memory: blocks of two pages. */
import type { GateSource } from "../../src/engine/gate-store.ts";
import type { FileFolder } from "../../src/load/byte-source.ts";
import { GATE_FILE } from "../../src/load/gates/gate-file.ts";
import { createRope } from "../../src/model/rope.ts";
import { Random } from "../conformance/random-weights.ts";
import { memoryFolder, safetensorsFile } from "../golden/memory-folder.ts";

const MODEL = { numLayers: 2, numQueryHeads: 4, numKvHeads: 4, headDim: 24 };
export const GATE_BLOCK = 8;
export const GATE_DIM = 6;

export function tinyGateFile(fields: Readonly<Record<string, unknown>> = {}): Uint8Array {
  const { numLayers, numQueryHeads, numKvHeads, headDim } = MODEL;
  const random = new Random(11);
  const values: number[] = [];
  const header: Record<string, object> = {
    __metadata__: Object.fromEntries(
      Object.entries({ seerattn_gate_block_size: GATE_BLOCK, ...fields }).map(([key, value]) => [
        key,
        JSON.stringify(value),
      ]),
    ),
  };
  const add = (name: string, shape: readonly number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [4 * values.length, 4 * (values.length + size)] };
    values.push(...random.row(size));
  };
  for (let layer = 0; layer < numLayers; layer++) {
    const gate = `model.layers.${layer}.self_attn.attn_gate.attngate`;
    add(`${gate}_linear_q.weight`, [numKvHeads, numQueryHeads / numKvHeads, headDim, GATE_DIM]);
    add(`${gate}_linear_k.weight`, [numKvHeads, 3 * headDim, GATE_DIM]);
    add(`${gate}_qnorm.weight`, [GATE_DIM]);
    add(`${gate}_knorm.weight`, [GATE_DIM]);
  }
  return safetensorsFile(header, new Uint8Array(Float32Array.from(values).buffer));
}

/** Gates by location; the model's own is there unless `own` is another folder. */
export function tinyGates(own: FileFolder = memoryFolder({ [GATE_FILE]: tinyGateFile() })): GateSource & {
  /** Locations in the order in which they were opened. */
  readonly opened: (string | undefined)[];
} {
  const opened: (string | undefined)[] = [];
  const blocks = (size: number) =>
    memoryFolder({ [GATE_FILE]: tinyGateFile({ seerattn_gate_block_size: size }) });
  const folders: Readonly<Record<string, FileFolder>> = {
    "blocks-of-4": blocks(4),
    "blocks-of-6": blocks(6),
    empty: memoryFolder({}),
  };
  return {
    opened,
    openFolder: async (location) => {
      opened.push(location);
      const folder = location === undefined ? own : folders[location];
      if (!folder) throw new Error(`there is no ${location}`);
      return folder;
    },
    ropeOf: (dim) => createRope({ type: "default", theta: 10000, headDim: dim }),
  };
}
