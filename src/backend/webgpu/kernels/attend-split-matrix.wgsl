// What attend.wgsl does, on the matrix units, for f16 caches. With: storage, matrix, step.
//
// A workgroup takes one share of the tokens for HEADS query heads of one kv head: all scores first, their softmax, then all
// values. Keys and values go through workgroup memory TOKENS at a time, those of the next turn on their way in registers. Each
// subgroup makes the scores of 16 tokens of a turn, and then some of the channels. Blocks have 16 rows where at most 8 heads
// are: queries and weights come as two f16 each, what rounding leaves of the first in the second, so that nothing is lost.
const HEADS: u32 = 1u; // at most 8
const QUERY_HEADS: u32 = 1u;
const HEAD_DIM: u32 = 16u; // a multiple of 16
const SCALE: f32 = 1f;
const SELECTED: bool = false;
const HAND_ON: bool = false; // scores of all query heads are written out
const ONLY_SCORES: bool = false;
const LEAST_TURNS: u32 = 1u; // of a workgroup
const MOST_TURNS: u32 = 8u;
const SUBGROUPS: u32 = 4u;
const THREADS: u32 = SUBGROUP * SUBGROUPS;
const TOKENS: u32 = SUBGROUPS * 16u; // of a turn
const SHARE: u32 = MOST_TURNS * TOKENS;
const GROUP_SIZE: u32 = QUERY_HEADS / KV_HEADS;
const PADDED4: u32 = ROW_PIECES * 2u;
const ROW_STRIDE: u32 = ROW_PIECES + 1u; // pieces of a row in workgroup memory: one more, for other banks
const STEPS: u32 = HEAD_DIM / 16u;
const OWN_STEPS: u32 = (STEPS + SUBGROUPS - 1u) / SUBGROUPS; // blocks of channels of a subgroup
const LOADS: u32 = (TOKENS * ROW_PIECES + THREADS - 1u) / THREADS;
const DOT_STRIDE: u32 = 20u; // scores of a head and turn of a subgroup, and a few more, for other banks
const WEIGHT_STRIDE: u32 = TOKENS / 8u + 1u; // pieces
const SUM_STRIDE: u32 = HEAD_DIM / 4u + 1u; // pieces of four sums
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
@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]
@group(0) @binding(8) var<storage, read_write> scores: array<f32>;

var<workgroup> tile: array<vec4u, max(TOKENS * ROW_STRIDE, 16u * SUM_STRIDE)>;
var<workgroup> q_space: array<vec4u, 16u * ROW_STRIDE>; // [head, channel]; what rounding left from row HEADS on
var<workgroup> dot_space: array<f32, SUBGROUPS * 16u * DOT_STRIDE>;
var<workgroup> score_space: array<f32, HEADS * SHARE>; // scores, then weights
var<workgroup> weight_space: array<vec4u, 16u * WEIGHT_STRIDE>; // of a turn, like the query
var<workgroup> start_space: array<u32, SHARE>; // where the keys and values of the tokens begin
var<workgroup> state_space: array<vec2f, HEADS>; // largest score and mass

alias Rows = array<vec4u, LOADS>;

// Eight numbers as f16, and what rounding left of them.
struct Halves {
  near: vec4u,
  rest: vec4u,
}

fn halves_of(a: vec4f, b: vec4f) -> Halves {
  let near = vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
  let c = a - vec4f(unpack2x16float(near.x), unpack2x16float(near.y));
  let d = b - vec4f(unpack2x16float(near.z), unpack2x16float(near.w));
  return Halves(
    near, vec4u(pack2x16float(c.xy), pack2x16float(c.zw), pack2x16float(d.xy), pack2x16float(d.zw)));
}

fn load_keys(turn: u32, thread: u32) -> Rows {
  var rows = Rows();
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    let at = min(i * THREADS + thread, TOKENS * ROW_PIECES - 1u);
    rows[i] = keys[start_space[turn * TOKENS + at / ROW_PIECES] + at % ROW_PIECES];
  }
  return rows;
}

fn load_values(turn: u32, thread: u32) -> Rows {
  var rows = Rows();
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    let at = min(i * THREADS + thread, TOKENS * ROW_PIECES - 1u);
    rows[i] = values[start_space[turn * TOKENS + at / ROW_PIECES] + at % ROW_PIECES];
  }
  return rows;
}

fn store_rows(rows: Rows, thread: u32) {
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    let at = i * THREADS + thread;
    if (TOKENS * ROW_PIECES % THREADS == 0u || at < TOKENS * ROW_PIECES) {
      tile[at / ROW_PIECES * ROW_STRIDE + at % ROW_PIECES] = rows[i];
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
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
  let wanted = (length + params.shares * TOKENS - 1u) / (params.shares * TOKENS);
  let share = clamp(wanted, LEAST_TURNS, MOST_TURNS) * TOKENS;
  let begin = min(group.x * share, length);
  let size = min(share, length - begin);
  let turns = (size + TOKENS - 1u) / TOKENS;
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;

  // past the end, the last token
  for (var t = thread; t < turns * TOKENS; t += THREADS) {
    var position = begin + min(t, size - 1u);
    if (SELECTED) {
      position = indices[list + position];
    }
    start_space[t] = cache_row(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE);
  }
  for (var i = thread; i < HEADS * ROW_PIECES; i += THREADS) {
    let h = i / ROW_PIECES;
    let source = (row * QUERY_HEADS + first_head + h) * HEAD_DIM + i % ROW_PIECES * 8u;
    let a = SCALE * vec4f(query[source], query[source + 1u], query[source + 2u], query[source + 3u]);
    let b = SCALE * vec4f(query[source + 4u], query[source + 5u], query[source + 6u], query[source + 7u]);
    let halves = halves_of(clamp(a, vec4f(-65504f), vec4f(65504f)), clamp(b, vec4f(-65504f), vec4f(65504f)));
    q_space[h * ROW_STRIDE + i % ROW_PIECES] = halves.near;
    q_space[(HEADS + h) * ROW_STRIDE + i % ROW_PIECES] = halves.rest;
  }
  workgroupBarrier();
  var next = Rows();
  if (turns > 0u) {
    next = load_keys(0u, thread);
  }
  var q: array<subgroup_matrix_right<f16, 16, 16>, STEPS>;
  /* unroll */ for (var s = 0u; s < STEPS; s++) {
    q[s] = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&q_space, s * 2u, ROW_STRIDE);
  }

  for (var turn = 0u; turn < turns; turn++) {
    store_rows(next, thread);
    workgroupBarrier();
    if (turn + 1u < turns) {
      next = load_keys(turn + 1u, thread);
    } else if (!ONLY_SCORES) {
      next = load_values(0u, thread);
    }
    var dots = subgroup_matrix_result<f32, 16, 16>(0f);
    /* unroll */ for (var s = 0u; s < STEPS; s++) {
      let key = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(
        &tile, subgroup * 16u * ROW_STRIDE + s * 2u, ROW_STRIDE);
      dots = subgroupMatrixMultiplyAccumulate(key, q[s], dots);
    }
    let dot = subgroup * 16u * DOT_STRIDE;
    subgroupMatrixStore<col_major>(&dot_space, dot, dots, DOT_STRIDE);
    workgroupBarrier();
    for (var i = lane; i < HEADS * 16u; i += SUBGROUP) {
      let h = i / 16u;
      let t = turn * TOKENS + subgroup * 16u + i % 16u;
      let at = dot + h * DOT_STRIDE + i % 16u;
      let score = dot_space[at] + dot_space[at + HEADS * DOT_STRIDE];
      score_space[h * SHARE + t] = select(LEAST, score, t < size);
      if (HAND_ON) {
        if (t < size) {
          scores[((sequence - params.first_sequence) * QUERY_HEADS + first_head + h) * params.score_capacity
            + begin + t] = score;
        }
      }
    }
  }
  if (ONLY_SCORES) {
    return;
  }

  workgroupBarrier();
  for (var first = 0u; first < HEADS; first += SUBGROUPS) {
    let h = min(first + subgroup, HEADS - 1u);
    let is_own = first + subgroup < HEADS;
    var largest = LEAST;
    for (var t = lane; t < size; t += SUBGROUP) {
      largest = max(largest, score_space[h * SHARE + t]);
    }
    largest = subgroupMax(largest);
    var mass = 0f;
    for (var t = lane; is_own && t < turns * TOKENS; t += SUBGROUP) {
      let weight = select(0f, exp(score_space[h * SHARE + t] - largest), t < size);
      score_space[h * SHARE + t] = weight;
      mass += weight;
    }
    mass = subgroupAdd(mass);
    if (is_own && lane == 0u) {
      state_space[h] = vec2f(largest, mass);
    }
  }

  var sums: array<subgroup_matrix_result<f32, 16, 16>, OWN_STEPS>;
  for (var turn = 0u; turn < turns; turn++) {
    workgroupBarrier();
    store_rows(next, thread);
    for (var i = thread; i < HEADS * TOKENS / 8u; i += THREADS) {
      let h = i / (TOKENS / 8u);
      let c = i % (TOKENS / 8u);
      let at = h * SHARE + turn * TOKENS + c * 8u;
      let a = vec4f(score_space[at], score_space[at + 1u], score_space[at + 2u], score_space[at + 3u]);
      let b = vec4f(score_space[at + 4u], score_space[at + 5u], score_space[at + 6u], score_space[at + 7u]);
      let halves = halves_of(a, b);
      weight_space[h * WEIGHT_STRIDE + c] = halves.near;
      weight_space[(HEADS + h) * WEIGHT_STRIDE + c] = halves.rest;
    }
    workgroupBarrier();
    if (turn + 1u < turns) {
      next = load_values(turn + 1u, thread);
    }
    /* unroll */ for (var k = 0u; k < TOKENS / 16u; k++) {
      let weight = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(
        &weight_space, k * 2u, WEIGHT_STRIDE);
      /* unroll */ for (var o = 0u; o < OWN_STEPS; o++) {
        let s = min(subgroup * OWN_STEPS + o, STEPS - 1u);
        let value = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(
          &tile, k * 16u * ROW_STRIDE + s * 2u, ROW_STRIDE);
        sums[o] = subgroupMatrixMultiplyAccumulate(weight, value, sums[o]);
      }
    }
  }
  workgroupBarrier();
  /* unroll */ for (var o = 0u; o < OWN_STEPS; o++) {
    let s = min(subgroup * OWN_STEPS + o, STEPS - 1u);
    subgroupMatrixStore<row_major>(&tile, s * 4u, sums[o], SUM_STRIDE);
  }
  workgroupBarrier();
  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  for (var i = thread; i < HEADS * PADDED4; i += THREADS) {
    let h = i / PADDED4;
    let at = h * SUM_STRIDE + i % PADDED4;
    partials[partial + h * params.splits * (PADDED4 + 1u) + i % PADDED4] =
      bitcast<vec4f>(tile[at]) + bitcast<vec4f>(tile[at + HEADS * SUM_STRIDE]);
  }
  for (var h = thread; h < HEADS; h += THREADS) {
    partials[partial + h * params.splits * (PADDED4 + 1u) + PADDED4] = vec4f(state_space[h], 0f, 0f);
  }
}
