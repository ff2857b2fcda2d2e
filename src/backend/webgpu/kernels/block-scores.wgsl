// Scores of blocks per kv head: gate query times the key of the block; 0 for a block that is not whole. With: step.
// An invocation computes one score; all scores of a workgroup belong to one kv head.
override GATE_DIM: u32;
override BLOCK_SIZE: u32; // a multiple of PAGE_SIZE
const PAGES: u32 = BLOCK_SIZE / PAGE_SIZE;

struct Params {
  first_sequence: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> queries: array<f32>; // [sequences of the range, KV_HEADS, GATE_DIM]
var<storage, read> block_keys: array<f32>; // [pages, KV_HEADS, GATE_DIM]
var<storage, read_write> scores: array<f32>;

var<workgroup> query_space: array<f32, GATE_DIM>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.z * KV_HEADS + group.y;
  let sequence = params.first_sequence + group.z;
  let length = step[LENGTHS + sequence];
  for (var i = thread; i < GATE_DIM; i += 64u) {
    query_space[i] = queries[row * GATE_DIM + i];
  }
  workgroupBarrier();
  let block = group.x * 64u + thread;
  if (block * BLOCK_SIZE >= length) {
    return;
  }
  var score = 0f;
  if ((block + 1u) * BLOCK_SIZE <= length) {
    let page = step[PAGE_TABLES + sequence * MAX_PAGES + (block + 1u) * PAGES - 1u];
    let key = (page * KV_HEADS + group.y) * GATE_DIM;
    for (var i = 0u; i < GATE_DIM; i++) {
      score += query_space[i] * block_keys[key + i];
    }
  }
  scores[row * params.capacity + block] = score;
}
