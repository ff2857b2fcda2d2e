// Attention of rows over everything cached, or over a token selection, split over the tokens: partial sums that
// merge.wgsl brings together. With: storage, step, reduce (LANES = THREADS).
// A workgroup takes one share of the tokens for HEADS query heads of one kv head: each key and value is read once.
const HEADS: u32 = 1u; // query heads of a workgroup; they share a kv head
const QUERY_HEADS: u32 = 1u;
const HEAD_DIM: u32 = 4u;
const SCALE: f32 = 1f;
const CHUNK: u32 = 256u; // most tokens of a share
const SELECTED: bool = false;
const HAND_ON: bool = false; // scores of all query heads are written out
const ONLY_SCORES: bool = false;
const ROW_LANES: u32 = 1u; // invocations that share a key: 8 where subgroups have at least 8, else 1
const GROUP_SIZE: u32 = QUERY_HEADS / KV_HEADS;
const HEADS4: u32 = (HEADS + 3u) / 4u;
const PADDED: u32 = ROW_PIECES * PIECE;
const PADDED4: u32 = PADDED / 4u;
const KEY_ROWS: u32 = THREADS / ROW_LANES; // keys at once
const LANE_PIECES: u32 = (ROW_PIECES + ROW_LANES - 1u) / ROW_LANES;
const VALUE_ROWS: u32 = THREADS / ROW_PIECES; // values at once
const UNROLL: u32 = 4u; // values of one invocation in flight
const KEY_UNROLL: u32 = 2u;
const LEAST_SHARE: u32 = 64u;
const LEAST: f32 = -3e38;

struct Params {
  first_row: u32,
  first_sequence: u32, // row of the selection and of the scores = sequence - first_sequence
  groups: u32, // of the selection
  capacity: u32, // of a list of the selection
  score_capacity: u32,
  splits: u32, // stride of the partials
  shares: u32, // wanted of a row
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> query: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<vec4u>;
@group(0) @binding(4) var<storage, read> values: array<vec4u>;
@group(0) @binding(5) var<storage, read> indices: array<u32>;
@group(0) @binding(6) var<storage, read> counts: array<u32>;
@group(0) @binding(7) var<storage, read_write> partials: array<f32>; // [rows, heads, splits, PADDED + 2]
@group(0) @binding(8) var<storage, read_write> scores: array<f32>;

var<workgroup> q_space: array<vec4f, HEADS * PADDED4>;
var<workgroup> score_space: array<vec4f, CHUNK * HEADS4>;
var<workgroup> sum_space: array<vec4f, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = params.first_row + group.z;
  let first_head = group.y * HEADS;
  let kv_head = first_head / GROUP_SIZE;
  let sequence = step[ROW_SEQUENCES + row];
  let table = PAGE_TABLES + sequence * MAX_PAGES;
  var length = step[ROW_LENGTHS + row];
  var list = 0u;
  if (SELECTED) {
    length = counts[sequence - params.first_sequence];
    list = ((sequence - params.first_sequence) * params.groups + first_head * params.groups / QUERY_HEADS)
      * params.capacity;
  }
  // of the row's own length alone, so that a row's sums do not depend on the rows beside it
  let share = clamp((length + params.shares - 1u) / params.shares, LEAST_SHARE, CHUNK);
  let begin = min(group.x * share, length);
  let end = min(begin + share, length);
  let size = end - begin;

  for (var i = thread; i < HEADS * PADDED4; i += THREADS) {
    let head = first_head + i / PADDED4;
    var q = vec4f();
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      let d = (i % PADDED4) * 4u + k;
      if (d < HEAD_DIM) {
        q[k] = SCALE * query[(row * QUERY_HEADS + head) * HEAD_DIM + d];
      }
    }
    q_space[i] = q;
  }
  workgroupBarrier();

  let lane = thread % ROW_LANES;
  var q: array<vec4f, HEADS * LANE_PIECES * PIECE4> = array<vec4f, HEADS * LANE_PIECES * PIECE4>();
  if (ROW_LANES > 1u) {
    /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        /* unroll */ for (var k = 0u; k < PIECE4; k++) {
          let piece = j * ROW_LANES + lane;
          if (piece < ROW_PIECES) {
            q[(h * LANE_PIECES + j) * PIECE4 + k] = q_space[h * PADDED4 + piece * PIECE4 + k];
          }
        }
      }
    }
  }
  for (var base = 0u; base < size; base += KEY_ROWS * KEY_UNROLL) {
    var bits: array<vec4u, KEY_UNROLL * LANE_PIECES> = array<vec4u, KEY_UNROLL * LANE_PIECES>();
    var position: array<u32, KEY_UNROLL> = array<u32, KEY_UNROLL>();
    /* unroll */ for (var u = 0u; u < KEY_UNROLL; u++) {
      let i = min(base + u * KEY_ROWS + thread / ROW_LANES, size - 1u);
      position[u] = begin + i;
      if (SELECTED) {
        position[u] = indices[list + begin + i];
      }
    }
    /* unroll */ for (var u = 0u; u < KEY_UNROLL; u++) {
      let origin = cache_row(step[table + position[u] / PAGE_SIZE], kv_head, position[u] % PAGE_SIZE);
      /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
        if (j * ROW_LANES + lane < ROW_PIECES) {
          bits[u * LANE_PIECES + j] = keys[origin + j * ROW_LANES + lane];
        }
      }
    }
    /* unroll */ for (var u = 0u; u < KEY_UNROLL; u++) {
      var dots: array<f32, HEADS4 * 4u> = array<f32, HEADS4 * 4u>();
      /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
        let piece = j * ROW_LANES + lane;
        if (piece < ROW_PIECES) {
          let a = low(bits[u * LANE_PIECES + j]);
          let b = high(bits[u * LANE_PIECES + j]);
          /* unroll */ for (var h = 0u; h < HEADS; h++) {
            if (ROW_LANES > 1u) {
              dots[h] = fma4(a, q[(h * LANE_PIECES + j) * PIECE4], dots[h]);
              if (PIECE == 8u) {
                dots[h] = fma4(b, q[(h * LANE_PIECES + j) * PIECE4 + PIECE4 - 1u], dots[h]);
              }
            } else {
              dots[h] = fma4(a, q_space[h * PADDED4 + piece * PIECE4], dots[h]);
              if (PIECE == 8u) {
                dots[h] = fma4(b, q_space[h * PADDED4 + piece * PIECE4 + PIECE4 - 1u], dots[h]);
              }
            }
          }
        }
      }
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        dots[h] = lanes_sum(dots[h]);
      }
      let i = base + u * KEY_ROWS + thread / ROW_LANES;
      if (i < size) {
        /* unroll */ for (var h = 0u; h < HEADS4; h++) {
          if (lane == h % ROW_LANES) {
            score_space[i * HEADS4 + h] = vec4f(dots[h * 4u], dots[h * 4u + 1u], dots[h * 4u + 2u], dots[h * 4u + 3u]);
          }
        }
        if (HAND_ON) {
          /* unroll */ for (var h = 0u; h < HEADS; h++) {
            if (lane == h % ROW_LANES) {
              scores[((sequence - params.first_sequence) * QUERY_HEADS + first_head + h) * params.score_capacity
                + position[u]] = dots[h];
            }
          }
        }
      }
    }
  }
  if (ONLY_SCORES) {
    return;
  }
  workgroupBarrier();

  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED + 2u);
  let partial_stride = params.splits * (PADDED + 2u);
  /* unroll */ for (var h = 0u; h < HEADS4; h++) {
    var largest = vec4f(LEAST);
    for (var i = thread; i < size; i += THREADS) {
      largest = max(largest, score_space[i * HEADS4 + h]);
    }
    largest = team_max(largest, thread);
    var mass = vec4f();
    for (var i = thread; i < size; i += THREADS) {
      let weight = exp(score_space[i * HEADS4 + h] - largest);
      score_space[i * HEADS4 + h] = weight;
      mass += weight;
    }
    mass = team_sum(mass, thread);
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      if (thread == k && h * 4u + k < HEADS) {
        partials[partial + (h * 4u + k) * partial_stride + PADDED] = largest[k];
        partials[partial + (h * 4u + k) * partial_stride + PADDED + 1u] = mass[k];
      }
    }
  }
  workgroupBarrier();

  let piece = thread % ROW_PIECES;
  var sums: array<vec4f, HEADS * PIECE4> = array<vec4f, HEADS * PIECE4>();
  if (thread < VALUE_ROWS * ROW_PIECES) {
    for (var base = thread / ROW_PIECES; base < size; base += VALUE_ROWS * UNROLL) {
      var bits: array<vec4u, UNROLL> = array<vec4u, UNROLL>();
      var starts: array<u32, UNROLL> = array<u32, UNROLL>();
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        var position = begin + min(base + u * VALUE_ROWS, size - 1u);
        if (SELECTED) {
          position = indices[list + position];
        }
        starts[u] = cache_row(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE) + piece;
      }
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        bits[u] = values[starts[u]];
      }
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        let i = base + u * VALUE_ROWS;
        if (i < size) {
          let a = low(bits[u]);
          let b = high(bits[u]);
          /* unroll */ for (var h = 0u; h < HEADS; h++) {
            let weight = score_space[i * HEADS4 + h / 4u][h % 4u];
            sums[h * PIECE4] = fma(a, vec4f(weight), sums[h * PIECE4]);
            if (PIECE == 8u) {
              sums[h * PIECE4 + PIECE4 - 1u] = fma(b, vec4f(weight), sums[h * PIECE4 + PIECE4 - 1u]);
            }
          }
        }
      }
    }
  }
  /* unroll */ for (var i = 0u; i < HEADS * PIECE4; i++) {
    sum_space[thread] = sums[i];
    workgroupBarrier();
    if (thread < ROW_PIECES) {
      var total = vec4f();
      for (var r = 0u; r < VALUE_ROWS; r++) {
        total += sum_space[r * ROW_PIECES + thread];
      }
      let at = partial + (i / PIECE4) * partial_stride + thread * PIECE + (i % PIECE4) * 4u;
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        partials[at + k] = total[k];
      }
    }
    workgroupBarrier();
  }
}
