// Query, key and value projections of few rows of x, with RoPE, and the store of keys and values into their pages, for
// heads that have no norm of their own. With: storage, step, fold, matvec-core.
// A team's rows are two runs of RUN rows of one head, half a head apart: the elements that RoPE turns together.
const HEAD_DIM: u32 = 16u; // a multiple of TEAM_ROWS
const QUERY_HEADS: u32 = 1u;
const CACHE_IS_F16: bool = false;
const HALF: u32 = HEAD_DIM / 2u;
const RUN: u32 = TEAM_ROWS / 2u; // at least 2
const HEAD_BLOCKS: u32 = HALF / RUN;

struct Params {
  first: Section, // of queries, keys or values; `out` is 0, 1 or 2 for which
  second: Section,
  third: Section,
  norm: u32, // first vec4 of the norm weights
  batch: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read> step: array<u32>;
@group(0) @binding(6) var<storage, read_write> query: array<f32>; // [rows, QUERY_HEADS * HEAD_DIM]
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;
@group(0) @binding(8) var<storage, read_write> values: array<u32>;

// Two neighbouring elements of a head, at `d` and d + 1, to where they belong.
fn store_two(row: u32, kind: u32, head: u32, d: u32, pair: vec2f) {
  if (kind == 0u) {
    let at = (row * QUERY_HEADS + head) * HEAD_DIM + d;
    query[at] = pair.x;
    query[at + 1u] = pair.y;
    return;
  }
  let slot = step[SLOTS + row];
  let at = cache_row(slot / PAGE_SIZE, head, slot % PAGE_SIZE) * 4u;
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
  return section.piece + min(row, section.rows - 1u) * STRIDE;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let team = thread / LANES;
  let number = (group.y * groups.x + group.x) * TEAMS + team;
  let place = place_of(number, TEAM_ROWS, params.first, params.second, params.third);
  let section = place.section;
  let block = place.block;
  stream(section, block, params.norm, thread);
  workgroupBarrier();
  if (block >= section.rows / TEAM_ROWS) {
    return;
  }
  let head = block / HEAD_BLOCKS;
  for (var i = thread % LANES; i < RUN / 2u * BATCH; i += LANES) {
    let b = i % BATCH;
    if (b >= params.batch) {
      continue;
    }
    let r = i / BATCH * 2u; // of the first run
    let d = block % HEAD_BLOCKS * RUN + r;
    let scale = scale_of(team, b);
    var low_half = scale * vec2f(product_of(team, r, b), product_of(team, r + 1u, b));
    var high_half = scale * vec2f(product_of(team, RUN + r, b), product_of(team, RUN + r + 1u, b));
    if (section.bias > 0u) {
      let at = head * HEAD_DIM + d;
      low_half += vec2f(bias_of(section, at), bias_of(section, at + 1u));
      high_half += vec2f(bias_of(section, at + HALF), bias_of(section, at + HALF + 1u));
    }
    if (section.out < 2u) {
      let at = ROPE + b * HEAD_DIM + d;
      let c = vec2f(bitcast<f32>(step[at]), bitcast<f32>(step[at + 1u]));
      let s = vec2f(bitcast<f32>(step[at + HALF]), bitcast<f32>(step[at + HALF + 1u]));
      let turned = low_half * c - high_half * s;
      high_half = high_half * c + low_half * s;
      low_half = turned;
    }
    store_two(b, section.out, head, d, low_half);
    store_two(b, section.out, head, d + HALF, high_half);
  }
}
