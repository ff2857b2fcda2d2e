/**
 * Dense causal attention of a prefill chunk's rows: tiles of query rows × the query heads of a kv head, against key blocks
 * of 64, with an online softmax. Models with quantised weights and an int8 cache take integers of 16 bits, others floats.
 */
import { fork, ALL_THREADS } from "./control";
import { floatsScratch, tileOfFloats } from "./prefill-floats";
import { integersScratch, tileOfIntegers } from "./prefill-integers";
import { rowsPerTile } from "./prefill-tile";
import { batch, cache, model, param, setParam } from "./state";

export function prefillScratch(): u32 { return max<u32>(floatsScratch(), integersScratch()); }

/**
 * window: positions that a row sees, its own included; 0: all up to it.
 * Params: 0 keys, 1 values (offsets of the layer), 2 query, 3 output, 4 first sequence, 5 sequences, 6 items, 7 window.
 */
export function prefill(layer: u32, first: u32, count: u32, query: usize, output: usize, window: u32): void {
  setParam(0, <u32>cache.keys(layer));
  setParam(1, <u32>cache.values(layer));
  setParam(2, <u32>query);
  setParam(3, <u32>output);
  setParam(4, first);
  setParam(5, count);
  setParam(7, window);
  let tiles: u32 = 0;
  for (let s: u32 = 0; s < count; s++) tiles += tilesOf(s);
  const items = tiles * model.kvHeads();
  setParam(6, items);
  fork(prefillItem, items, ALL_THREADS);
}

/** Tiles of a sequence; none of one row, which is the decode kernel's. */
// @ts-ignore: decorator
@inline function tilesOf(s: u32): u32 {
  const rows = batch.rowCount(param(4) + s);
  if (rows == 1) return 0;
  const perTile = rowsPerTile(rows);
  return (rows + perTile - 1) / perTile;
}

/** One tile of one kv head. */
function prefillItem(item: u32): void {
  // The last tiles see the most keys and run first, so that no thread ends with a long one.
  item = param(6) - 1 - item;
  const kvHead = item % model.kvHeads();
  let tile = item / model.kvHeads();
  let s: u32 = 0;
  while (tile >= tilesOf(s)) tile -= tilesOf(s++);
  s += param(4);
  const total = batch.rowCount(s);
  const perTile = rowsPerTile(total);
  const firstRow = tile * perTile;
  const rows = min<u32>(perTile, total - firstRow);
  const position = batch.length(s) - total + firstRow;
  const at = batch.firstRow(s) + firstRow;
  if (model.isRounded() || cache.isInt8()) tileOfIntegers(s, at, rows, position, kvHead);
  else tileOfFloats(s, at, rows, position, kvHead);
}
