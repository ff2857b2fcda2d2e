// Extends maximum, minimum and sum of the raw keys of each page by the rows of the step; a page's first key starts them.
// With: step. One workgroup of 64 channels for each page that a sequence's rows reach.
override HEAD_DIM: u32;
const CHANNELS: u32 = KV_HEADS * HEAD_DIM;

struct Params {
  first_sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> keys: array<f32>; // [rows, CHANNELS]
var<storage, read_write> pools: array<f32>; // [pages, KV_HEADS, 3, HEAD_DIM]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let sequence = params.first_sequence + group.z;
  let length = step[LENGTHS + sequence];
  let start = length - step[ROW_COUNTS + sequence];
  let slot_page = start / PAGE_SIZE + group.y;
  let channel = group.x * 64u + thread;
  if (slot_page * PAGE_SIZE >= length || channel >= CHANNELS) {
    return;
  }
  let page = step[PAGE_TABLES + sequence * MAX_PAGES + slot_page];
  let origin = max(start, slot_page * PAGE_SIZE);
  let to = min(length, (slot_page + 1u) * PAGE_SIZE);
  let at = (page * KV_HEADS + channel / HEAD_DIM) * 3u * HEAD_DIM + channel % HEAD_DIM;
  let first_row = step[FIRST_ROWS + sequence];
  var pool = vec3f(-3e38, 3e38, 0f);
  if (origin > slot_page * PAGE_SIZE) {
    pool = vec3f(pools[at], pools[at + HEAD_DIM], pools[at + 2u * HEAD_DIM]);
  }
  for (var position = origin; position < to; position++) {
    let key = keys[(first_row + position - start) * CHANNELS + channel];
    pool = vec3f(max(pool.x, key), min(pool.y, key), pool.z + key);
  }
  pools[at] = pool.x;
  pools[at + HEAD_DIM] = pool.y;
  pools[at + 2u * HEAD_DIM] = pool.z;
}
