// What attend.wgsl does, where subgroups are absent or too small for it: scores of a share in workgroup memory, then the
// values. With: storage, step, reduce (LANES = THREADS).
// A workgroup takes one share of the tokens for HEADS query heads of one kv head: each key and value is read once.
override HEADS: u32; // query heads of a workgroup; they share a kv head
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override SCALE: f32;
override CHUNK: u32; // most tokens of a share
override SELECTED: bool;
override HAND_ON: bool; // scores of all query heads are written out
override ONLY_SCORES: bool;
const GROUP_SIZE: u32 = QUERY_HEADS / KV_HEADS;
const HEADS4: u32 = (HEADS + 3u) / 4u;
const PADDED: u32 = ROW_PIECES * PIECE;
const PADDED4: u32 = PADDED / 4u;
const VALUE_ROWS: u32 = THREADS / ROW_PIECES; // values at once
override UNROLL: u32; // values of one invocation in flight
override LEAST_SHARE: u32;
const LEAST: f32 = -3e38;

struct Params {
  first_row: u32,
  sequence: u32, // of the first row; of the selection and the scores it is row `of_selection`
  sequence_step: u32, // from row to row
  of_selection: u32,
  groups: u32, // of the selection
  capacity: u32, // of a list of the selection
  score_capacity: u32,
  splits: u32, // stride of the partials
  shares: u32, // wanted of a row
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> keys: array<vec4u>;
var<storage, read> values: array<vec4u>;
var<storage, read> indices: array<u32>;
var<storage, read> counts: array<u32>;
var<storage, read_write> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]
var<storage, read_write> scores: array<f32>;

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
  let table = PAGE_TABLES + (params.sequence + group.z * params.sequence_step) * MAX_PAGES;
  let of_selection = params.of_selection + group.z * params.sequence_step;
  var length = step[ROW_LENGTHS + row];
  var list = 0u;
  if (SELECTED) {
    length = counts[of_selection];
    list = (of_selection * params.groups + first_head * params.groups / QUERY_HEADS) * params.capacity;
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

  for (var i = thread; i < size; i += THREADS) {
    var position = begin + i;
    if (SELECTED) {
      position = indices[list + begin + i];
    }
    let origin = cache_row(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE);
    var dots: array<f32, HEADS4 * 4u> = array<f32, HEADS4 * 4u>();
    for (var piece = 0u; piece < ROW_PIECES; piece++) {
      let bits = keys[origin + piece];
      let a = low(bits);
      let b = high(bits);
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        dots[h] = fma4(a, q_space[h * PADDED4 + piece * PIECE4], dots[h]);
        if (PIECE == 8u) {
          dots[h] = fma4(b, q_space[h * PADDED4 + piece * PIECE4 + PIECE4 - 1u], dots[h]);
        }
      }
    }
    /* unroll */ for (var h = 0u; h < HEADS4; h++) {
      score_space[i * HEADS4 + h] = vec4f(dots[h * 4u], dots[h * 4u + 1u], dots[h * 4u + 2u], dots[h * 4u + 3u]);
    }
    if (HAND_ON) {
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        scores[(of_selection * QUERY_HEADS + first_head + h) * params.score_capacity + position]
          = dots[h];
      }
    }
  }
  if (ONLY_SCORES) {
    return;
  }
  workgroupBarrier();

  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  let partial_stride = params.splits * (PADDED4 + 1u);
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
        partials[partial + (h * 4u + k) * partial_stride + PADDED4] = vec4f(largest[k], mass[k], 0f, 0f);
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
      partials[partial + (i / PIECE4) * partial_stride + thread * PIECE4 + i % PIECE4] = total;
    }
    workgroupBarrier();
  }
}
