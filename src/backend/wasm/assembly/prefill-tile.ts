/** Geometry of prefill attention: what its float and its integer kernel share. */
import { batch, cache, model, param, roundUp, workers } from "./state";

/** Keys of a block. */
export const KEYS: u32 = 64;
/** Bytes of one channel, or one key, of a panel of floats. */
export const PANEL: usize = 32;
/** Below every logit but -Infinity: a vector that has seen no key yet keeps a mass of 0 where -Infinity would give NaN. */
export const LOWEST: f32 = -f32.MAX_VALUE;
/** Maximum query vectors (rows × query heads of a kv head) of a tile, unless one row has more: each tile packs all its keys anew. */
const TILE: u32 = 192;
/** Share of the threads' time that tiles of equal work must fill, in tenths, and how many more tiles may be tried for it. */
const BUSY: u32 = 9;
const MORE_TILES: u32 = 4;

/** Query heads of a kv head. */
// @ts-ignore: decorator
@inline export function groupSize(): u32 { return model.queryHeads() / model.kvHeads(); }
// @ts-ignore: decorator
@inline function mostRows(): u32 {
  const rows = TILE / groupSize();
  // 8 rows fill whole panels, whatever the group.
  return rows > 8 ? rows & ~7 : max<u32>(1, rows);
}
/** Query vectors of the largest tile, padded to panels. */
// @ts-ignore: decorator
@inline export function tileVectors(): u32 { return roundUp(mostRows() * groupSize(), 8); }

/** Rows of a tile of a sequence with `rows` rows: as many as threads stay busy with. No result depends on it. */
export function rowsPerTile(rows: u32): u32 {
  const threads = workers() + 1;
  const least = (rows + mostRows() - 1) / mostRows();
  let tiles = least;
  for (let n = least; n < least + MORE_TILES; n++) {
    const items = n * model.kvHeads();
    if (items * 10 < (items + threads - 1) / threads * threads * BUSY) continue;
    tiles = n;
    break;
  }
  return min<u32>(mostRows(), roundUp((rows + tiles - 1) / tiles, 8));
}

/** Bytes of a panel of floats. */
// @ts-ignore: decorator
@inline export function panelBytes(): usize { return <usize>cache.rowFloats() * PANEL; }

/** Address of the query, or output, vector of a row and a head of a tile, in the tensor of a parameter. */
// @ts-ignore: decorator
@inline export function vectorAt(tensor: usize, row: u32, head: u32): usize {
  return <usize>(param(tensor) + (row * model.queryHeads() + head) * model.headDim() * 4);
}

/** Offset of the slot of a position in layer 0, in a kv head. */
// @ts-ignore: decorator
@inline export function slotOf(s: u32, position: u32, kvHead: u32): usize {
  const page = load<u32>(batch.pageTable(s) + <usize>((position >> cache.pageShift()) * 4));
  const inPage = (position & (cache.pageSize() - 1)) * cache.slotBytes();
  return cache.page(page) + <usize>(kvHead * cache.headBytes() + inPage);
}

/** The first position that a row sees. */
// @ts-ignore: decorator
@inline export function firstSeen(position: u32): u32 {
  const window = param(7);
  return window == 0 || position < window ? 0 : position + 1 - window;
}

/** Masks the keys that a row at `position` does not see in one vector's lane of the logits. */
export function hide(lane: usize, position: u32, key: u32, n: u32): void {
  for (let k: u32 = position >= key ? position + 1 - key : 0; k < n; k++) store<f32>(lane + <usize>k * PANEL, -Infinity);
  const first = firstSeen(position);
  for (let k: u32 = 0; k < n && key + k < first; k++) store<f32>(lane + <usize>k * PANEL, -Infinity);
}

/** Outputs divided by their mass, to the rows of the tile. */
export function writeOutputs(outputs: usize, mass: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = model.headDim();
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      const v = r * heads + h;
      let from = outputs + <usize>(v >> 3) * panelBytes() + <usize>((v & 7) * 4);
      let to = vectorAt(3, row + r, kvHead * heads + h);
      const scale: f32 = <f32>1 / load<f32>(mass + <usize>(v * 4));
      for (const end = to + <usize>(d * 4); to < end; to += 4, from += PANEL) store<f32>(to, load<f32>(from) * scale);
    }
}
