// Merges the keys of a sequence from VALID_BOUNDS on into the per-channel minimum and maximum of their pages; the first key of a page
// resets them. With: storage and cache-floats or cache-q8, step. One workgroup of 64 channels for each page from there on.
const PADDED: u32 = ROW_VECTORS * VECTOR_ELEMENTS;

struct Params {
  sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> keys: array<CacheVector>;
var<storage, read_write> bounds: array<vec2f>; // [pages, kv heads, PADDED]: minimum, maximum

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let length = step[LENGTHS + params.sequence];
  let start = step[VALID_BOUNDS + params.sequence];
  let slot_page = start / PAGE_SIZE + group.y;
  let channel = group.x * 64u + thread;
  if (slot_page * PAGE_SIZE >= length || channel >= KV_HEADS * PADDED) {
    return;
  }
  let page = step[PAGE_TABLES + params.sequence * MAX_PAGES + slot_page];
  let kv_head = channel / PADDED;
  let d = channel % PADDED;
  let origin = max(start, slot_page * PAGE_SIZE) - slot_page * PAGE_SIZE;
  let to = min(length - slot_page * PAGE_SIZE, PAGE_SIZE);
  let at = page * KV_HEADS * PADDED + channel;
  var bound = vec2f(3e38, -3e38);
  if (origin > 0u) {
    bound = bounds[at];
  }
  for (var offset = origin; offset < to; offset++) {
    let start = start_at(cache_place(page, kv_head, offset), d / VECTOR_ELEMENTS);
    let bits = keys[key_at(start, d / VECTOR_ELEMENTS)];
    var key = 0f;
    if (d % VECTOR_ELEMENTS < 4u) {
      key = low(bits)[d % VECTOR_ELEMENTS];
    } else {
      key = high(bits)[d % VECTOR_ELEMENTS - 4u];
    }
    if (IS_SCALED) {
      key *= scales_in(keys[scales_at(start)]).x;
    }
    bound = vec2f(min(bound.x, key), max(bound.y, key));
  }
  bounds[at] = bound;
}
