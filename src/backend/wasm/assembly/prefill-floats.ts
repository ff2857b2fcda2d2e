/**
 * Prefill attention in f32, for float weights and an f32 cache: keys and queries as they are. Panels hold 8 query vectors of a tile side
 * by side, so that both products use the GEMM microtile and the softmax handles 8 vectors at a time.
 */
import { exp4 } from "./math";
import {
  firstSeen, groupSize, hide, KEYS, LOWEST, PANEL, panelBytes, slotOf, tileVectors, vectorAt, writeOutputs,
} from "./prefill-tile";
import { cache, model, param, scratch } from "./state";
import { packFour, tile8x4 } from "./tile";

/**
 * Scratch: queries and outputs [panel][channel][8], largest and mass [vector], weights [key][8], keys [key / 4][channel][4],
 * values [channel / 4][key][4].
 */
export function floatsScratch(): u32 {
  return (tileVectors() * (2 * cache.rowFloats() + 2) + KEYS * 8 + 2 * KEYS * cache.rowFloats()) * 4;
}

/** `rows` rows of a sequence from row `at` of the batch on, which are at `position` and after, in one kv head. */
export function tileOfFloats(s: u32, at: u32, rows: u32, position: u32, kvHead: u32): void {
  const heads = groupSize();
  const vectors = rows * heads;
  const bytes = panelBytes();

  const queries = scratch;
  const outputs = queries + <usize>(tileVectors() * cache.rowFloats() * 4);
  const largest = outputs + <usize>(tileVectors() * cache.rowFloats() * 4);
  const mass = largest + <usize>(tileVectors() * 4);
  const weights = mass + <usize>(tileVectors() * 4);
  const keys = weights + <usize>KEYS * PANEL;
  const values = keys + <usize>(KEYS * cache.rowFloats() * 4);

  packQueries(queries, at, rows, kvHead, heads);
  memory.fill(outputs, 0, largest - outputs);
  for (let p = largest; p < mass; p += 16) v128.store(p, f32x4.splat(LOWEST));
  memory.fill(mass, 0, weights - mass);

  const visible = position + rows;
  for (let key = firstSeen(position) & ~(KEYS - 1); key < visible; key += KEYS) {
    packBlock(s, kvHead, key, min<u32>(KEYS, visible - key), keys, values);
    for (let v: u32 = 0; v < vectors; v += 8) {
      // The panel's last row sees n keys of the block; its first row may see fewer.
      const last = position + (min<u32>(v + 8, vectors) - 1) / heads;
      const first = position + v / heads;
      if (last < key || key + KEYS <= firstSeen(first)) continue;
      const n = min<u32>(KEYS, last + 1 - key);
      const panel = <usize>(v >> 3) * bytes;
      for (let k: u32 = 0; k < n; k += 4)
        tile8x4(queries + panel, model.headDim(), keys + <usize>(k * cache.rowFloats() * 4), weights + <usize>k * PANEL, PANEL, false);
      if (first + 1 < key + n || firstSeen(last) > key)
        for (let i: u32 = 0; i < 8; i++) hide(weights + <usize>(i * 4), position + (v + i) / heads, key, n);
      softmaxPanel(weights, n, largest + <usize>(v * 4), mass + <usize>(v * 4), outputs + panel, bytes);
      for (let c: u32 = 0; c < cache.rowFloats(); c += 4)
        tile8x4(weights, n, values + <usize>(c * KEYS * 4), outputs + panel + <usize>c * PANEL, PANEL, true);
    }
  }
  writeOutputs(outputs, mass, at, rows, kvHead, heads);
}

/** Queries times the logits' factor in panels; vectors past the last are zeros. */
function packQueries(to: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const scale = model.attentionScale();
  memory.fill(to, 0, <usize>(tileVectors() * cache.rowFloats() * 4));
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      let from = vectorAt(2, row + r, kvHead * heads + h);
      const v = r * heads + h;
      let out = to + <usize>(v >> 3) * panelBytes() + <usize>((v & 7) * 4);
      for (const end = from + <usize>(model.headDim() * 4); from < end; from += 4, out += PANEL) store<f32>(out, load<f32>(from) * scale);
    }
}

/** Keys key..key+n-1 as [key / 4][channel][4], values as [channel / 4][key][4]. */
function packBlock(s: u32, kvHead: u32, key: u32, n: u32, keys: usize, values: usize): void {
  const bytes = <usize>(cache.rowFloats() * 4);
  const stride = <usize>cache.slotBytes();
  // Pages hold a multiple of 4 keys and blocks start at multiples of 4, so four keys are consecutive rows.
  for (let j: u32 = 0; j < n; j += 4) {
    const at = slotOf(s, key + j, kvHead);
    packFour(<usize>param(0) + at, stride, n - j, cache.rowFloats(), keys + <usize>j * bytes);
    let v = <usize>param(1) + at;
    for (let i: u32 = j; i < min<u32>(n, j + 4); i++, v += stride) {
      let out = values + <usize>(i * 16);
      for (const end = v + bytes; v < end; v += 16, out += KEYS * 16) v128.store(out, v128.load(v));
      v -= bytes;
    }
  }
}

/** Adds a block's logits [n][8] to the running softmax of a panel and replaces them with their weights. */
function softmaxPanel(row: usize, n: u32, largest: usize, mass: usize, output: usize, bytes: usize): void {
  const end = row + <usize>n * PANEL;
  const before0 = v128.load(largest), before1 = v128.load(largest, 16);
  let m0 = before0, m1 = before1;
  for (let p = row; p < end; p += PANEL) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  let sum0 = v128.load(mass), sum1 = v128.load(mass, 16);
  if (v128.any_true(v128.or(f32x4.ne(m0, before0), f32x4.ne(m1, before1)))) {
    v128.store(largest, m0);
    v128.store(largest, m1, 16);
    const f0 = exp4(f32x4.sub(before0, m0)), f1 = exp4(f32x4.sub(before1, m1));
    sum0 = f32x4.mul(sum0, f0);
    sum1 = f32x4.mul(sum1, f1);
    for (const stop = output + bytes; output < stop; output += PANEL) {
      v128.store(output, f32x4.mul(v128.load(output), f0));
      v128.store(output, f32x4.mul(v128.load(output, 16), f1), 16);
    }
  }
  for (let p = row; p < end; p += PANEL) {
    const e0 = exp4(f32x4.sub(v128.load(p), m0)), e1 = exp4(f32x4.sub(v128.load(p, 16), m1));
    v128.store(p, e0);
    v128.store(p, e1, 16);
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
  }
  v128.store(mass, sum0);
  v128.store(mass, sum1, 16);
}
