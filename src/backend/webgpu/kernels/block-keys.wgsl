// Keys of the blocks that the rows of the step complete, from the pools of their pages. With: step, gate-project.
// One workgroup for each kv head and block.
override HEAD_DIM: u32;
override BLOCK_SIZE: u32; // a multiple of PAGE_SIZE
const PAGES: u32 = BLOCK_SIZE / PAGE_SIZE;

struct Params {
  first_sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> pools: array<f32>; // [pages, KV_HEADS, 3, HEAD_DIM]
var<storage, read_write> block_keys: array<f32>; // [pages, KV_HEADS, GATE_DIM], at a block's last page

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let kv_head = group.x;
  let sequence = params.first_sequence + group.z;
  let length = step[LENGTHS + sequence];
  let block = (length - step[ROW_COUNTS + sequence]) / BLOCK_SIZE + group.y;
  let is_here = (block + 1u) * BLOCK_SIZE <= length;
  // a block past the last whole one computes the first one and stores nothing, so that no barrier is in a branch
  let first_page = PAGE_TABLES + sequence * MAX_PAGES + select(0u, block * PAGES, is_here);
  for (var i = thread; i < WIDTH; i += THREADS) {
    var pool = 0f;
    for (var p = 0u; p < PAGES; p++) {
      let one = pools[(step[first_page + p] * KV_HEADS + kv_head) * WIDTH + i];
      if (p == 0u) {
        pool = one;
      } else if (i < HEAD_DIM) {
        pool = max(pool, one);
      } else if (i < 2u * HEAD_DIM) {
        pool = min(pool, one);
      } else {
        pool += one;
      }
    }
    input_space[i] = select(pool, pool / f32(BLOCK_SIZE), i >= 2u * HEAD_DIM);
  }
  project(kv_head, thread);
  let scale = norm_scale();
  if (!is_here) {
    return;
  }
  let out = (step[first_page + PAGES - 1u] * KV_HEADS + kv_head) * GATE_DIM;
  for (var column = thread; column < GATE_DIM; column += THREADS) {
    block_keys[out + column] = projected(column, block * BLOCK_SIZE, scale);
  }
}
