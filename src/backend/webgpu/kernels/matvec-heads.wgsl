// Query, key and value projections of few rows of x, with RoPE, and the store of keys and values into their pages, for heads
// without a norm of their own. With: storage, step, shuffle, matvec-core.
// A thread group's rows are two runs of RUN rows of one head, half a head apart: the elements that RoPE rotates together.
// RUN / 2 × BATCH is at most LANES.
override HEAD_DIM: u32; // a multiple of GROUP_ROWS
override QUERY_HEADS: u32;
override CACHE_IS_F16: bool;
const HALF: u32 = HEAD_DIM / 2u;
const RUN: u32 = GROUP_ROWS / 2u; // at least 2
const HEAD_BLOCKS: u32 = HALF / RUN;

struct Params {
  first: Section, // of queries, keys or values; `out` is 0, 1 or 2 for which
  second: Section,
  third: Section,
  norm: u32, // first vec4 of the norm weights
  batch: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read_write> query: array<f32>; // [rows, QUERY_HEADS * HEAD_DIM]
var<storage, read_write> keys: array<u32>;
var<storage, read_write> values: array<u32>;

// Stores elements d and d + 1 of a head. at: offset of the row in the query, or in the pages.
fn store_two(kind: u32, at: u32, d: u32, pair: vec2f) {
  if (kind == 0u) {
    query[at + d] = pair.x;
    query[at + d + 1u] = pair.y;
    return;
  }
  if (CACHE_IS_F16) {
    let word = pack2x16float(pair);
    if (kind == 1u) {
      keys[at + d / 2u] = word;
    } else {
      values[at + d / 2u] = word;
    }
    return;
  }
  if (kind == 1u) {
    keys[at + d] = bitcast<u32>(pair.x);
    keys[at + d + 1u] = bitcast<u32>(pair.y);
  } else {
    values[at + d] = bitcast<u32>(pair.x);
    values[at + d + 1u] = bitcast<u32>(pair.y);
  }
}

fn is_of_partner(r: u32) -> bool {
  return false;
}

fn row_start(section: Section, block: u32, r: u32) -> u32 {
  let row = block / HEAD_BLOCKS * HEAD_DIM + block % HEAD_BLOCKS * RUN + r / RUN * HALF + r % RUN;
  return section.first_vector + min(row, section.rows - 1u) * STRIDE;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let thread_group = thread / LANES;
  let number = (group.y * groups.x + group.x) * THREAD_GROUPS + thread_group;
  let place = place_of(number, GROUP_ROWS, params.first, params.second, params.third);
  let section = place.section;
  let block = place.block;
  let head = block / HEAD_BLOCKS;
  let first = block % HEAD_BLOCKS * RUN; // of its elements, and half a head further
  // Slots and angles are loaded ahead of the weights. An invocation computes two pairs.
  let b = min(thread % LANES % BATCH, params.batch - 1u);
  let d = first + min(thread % LANES / BATCH, RUN / 2u - 1u) * 2u;
  var at = (b * QUERY_HEADS + head) * HEAD_DIM;
  if (section.out > 0u) {
    let slot = step[SLOTS + b];
    at = cache_row(slot / PAGE_SIZE, head, slot % PAGE_SIZE) * 4u;
  }
  var c = vec2f(1f);
  var s = vec2f();
  if (section.out < 2u) {
    let angle = select(ROPE, QUERY_ROPE, section.out == 0u) + b * HEAD_DIM + d;
    c = vec2f(bitcast<f32>(step[angle]), bitcast<f32>(step[angle + 1u]));
    s = vec2f(bitcast<f32>(step[angle + HALF]), bitcast<f32>(step[angle + HALF + 1u]));
  }
  stream(section, block, params.norm, thread);
  workgroupBarrier();
  let i = thread % LANES;
  if (block >= section.rows / GROUP_ROWS || i >= RUN / 2u * BATCH || i % BATCH >= params.batch) {
    return;
  }
  let r = d - first;
  let scale = scale_of(thread_group, b);
  var low_half = scale * vec2f(product_of(thread_group, r, b), product_of(thread_group, r + 1u, b));
  var high_half = scale * vec2f(product_of(thread_group, RUN + r, b), product_of(thread_group, RUN + r + 1u, b));
  if (section.bias > 0u) {
    let bias = head * HEAD_DIM + d;
    low_half += vec2f(bias_of(section, bias), bias_of(section, bias + 1u));
    high_half += vec2f(bias_of(section, bias + HALF), bias_of(section, bias + HALF + 1u));
  }
  store_two(section.out, at, d, low_half * c - high_half * s);
  store_two(section.out, at, d + HALF, high_half * c + low_half * s);
}
