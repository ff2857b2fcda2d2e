// Query, key and value projections of few rows of x, with RoPE, and the store of keys and values into their pages, for
// heads that have no norm of their own. With: storage, step, reduce, matvec-core.
// A team makes two runs of RUN rows of one head, half a head apart: the elements that RoPE turns together.
const HEAD_DIM: u32 = 4u; // a multiple of ROWS
const QUERY_HEADS: u32 = 1u;
const CACHE_IS_F16: bool = false;
const HALF: u32 = HEAD_DIM / 2u;
const RUN: u32 = ROWS / 2u;
const HEAD_BLOCKS: u32 = HALF / RUN;

struct Params {
  sections: array<Section, 3>, // of queries, keys or values; `out` is 0, 1 or 2 for which
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

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  var block = (group.y * groups.x + group.x) * TEAMS + thread / LANES;
  var section = params.sections[0];
  for (var i = 0u; i < 2u; i++) {
    let blocks = section.rows / ROWS;
    if (block >= blocks && params.sections[i + 1u].rows > 0u) {
      block -= blocks;
      section = params.sections[i + 1u];
    }
  }
  let is_here = block < section.rows / ROWS;
  block = min(block, section.rows / ROWS - 1u);
  let head = block / HEAD_BLOCKS;
  let first = (block % HEAD_BLOCKS) * RUN;
  var starts: array<u32, ROWS> = array<u32, ROWS>();
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    starts[r] = section.piece + (head * HEAD_DIM + first + r / RUN * HALF + r % RUN) * STRIDE;
  }
  let sums = products(starts, params.norm, thread);
  if (!is_here) {
    return;
  }
  /* unroll */ for (var b = 0u; b < BATCH; b++) {
    /* unroll */ for (var pair = 0u; pair < RUN / 2u; pair++) {
      if (b < params.batch && lane == pair) {
        const r = 2u * pair;
        let d = first + r;
        var low_half = vec2f(sums[r * BATCH + b], sums[(r + 1u) * BATCH + b]);
        var high_half = vec2f(sums[(RUN + r) * BATCH + b], sums[(RUN + r + 1u) * BATCH + b]);
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
  }
}
