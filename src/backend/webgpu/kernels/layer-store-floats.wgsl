// Where layer-to-heads.wgsl stores keys and values of an f16 or f32 cache: in their pages. With: layer-core, step.
override CACHE_IS_F16: bool;
const CACHE_ELEMENTS: u32 = select(4u, 8u, CACHE_IS_F16); // elements of a vector of the cache
const STORES_HEADS: bool = false;

var<storage, read_write> keys: array<u32>;
var<storage, read_write> values: array<u32>;

// Place of the first element of a key (kind 1) or value (kind 2).
fn cached_at(kind: u32, head: u32) -> u32 {
  let slot = step[SLOTS];
  return cache_row(slot / PAGE_SIZE, head, slot % PAGE_SIZE) * CACHE_ELEMENTS;
}

// Two neighbouring elements of a key or value; `at` is even.
fn store_two(kind: u32, at: u32, pair: vec2f) {
  if (CACHE_IS_F16) {
    let word = pack2x16float(pair);
    if (kind == 1u) {
      keys[at / 2u] = word;
    } else {
      values[at / 2u] = word;
    }
    return;
  }
  if (kind == 1u) {
    keys[at] = bitcast<u32>(pair.x);
    keys[at + 1u] = bitcast<u32>(pair.y);
  } else {
    values[at] = bitcast<u32>(pair.x);
    values[at + 1u] = bitcast<u32>(pair.y);
  }
}

fn store_head(block: u32, thread: u32) {
}
