// The gate's query of the last row of each sequence, divided by sqrt(GATE_DIM). With: step, gate-project. One workgroup for each kv head.
struct Params {
  first_sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>; // [rows, KV_HEADS, WIDTH]
var<storage, read_write> queries: array<f32>; // [sequences of the range, KV_HEADS, GATE_DIM]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let kv_head = group.x;
  let sequence = params.first_sequence + group.y;
  let row = step[FIRST_ROWS + sequence];
  for (var i = thread; i < WIDTH; i += THREADS) {
    input_space[i] = query[(row * KV_HEADS + kv_head) * WIDTH + i];
  }
  project(kv_head, thread);
  let scale = norm_scale();
  let out = (group.y * KV_HEADS + kv_head) * GATE_DIM;
  for (var column = thread; column < GATE_DIM; column += THREADS) {
    queries[out + column] = projected(column, step[LENGTHS + sequence] - 1u, scale) / sqrt(f32(GATE_DIM));
  }
}
