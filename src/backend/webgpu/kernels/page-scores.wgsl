// Quest's upper bound for each run of UNIT tokens and query head: sum over channels of max(q * min, q * max), unscaled.
// With: step. An invocation computes one score; all scores of a workgroup belong to one head.
override UNIT: u32; // a multiple of PAGE_SIZE
override HEAD_DIM: u32;
override PADDED: u32;
override QUERY_HEADS: u32;

struct Params {
  first_sequence: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> bounds: array<vec2f>;
var<storage, read_write> scores: array<f32>;

var<workgroup> q_space: array<f32, HEAD_DIM>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.y;
  let sequence = params.first_sequence + group.z;
  let length = step[LENGTHS + sequence];
  let row = step[FIRST_ROWS + sequence];
  for (var d = thread; d < HEAD_DIM; d += 64u) {
    q_space[d] = query[(row * QUERY_HEADS + head) * HEAD_DIM + d];
  }
  workgroupBarrier();
  let unit = group.x * 64u + thread;
  if (unit * UNIT >= length) {
    return;
  }
  let kv_head = head / (QUERY_HEADS / KV_HEADS);
  let first_page = unit * UNIT / PAGE_SIZE;
  let end_page = (min(length, (unit + 1u) * UNIT) + PAGE_SIZE - 1u) / PAGE_SIZE;
  var score = 0f;
  for (var d = 0u; d < HEAD_DIM; d++) {
    var bound = vec2f(3e38, -3e38);
    for (var p = first_page; p < end_page; p++) {
      let page = step[PAGE_TABLES + sequence * MAX_PAGES + p];
      let one = bounds[(page * KV_HEADS + kv_head) * PADDED + d];
      bound = vec2f(min(bound.x, one.x), max(bound.y, one.y));
    }
    score += max(q_space[d] * bound.x, q_space[d] * bound.y);
  }
  scores[(group.z * QUERY_HEADS + head) * params.capacity + unit] = score;
}
