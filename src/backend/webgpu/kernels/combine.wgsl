// Combines the split-KV partials of attention. One workgroup for each query head and row. With: combine-core.
override QUERY_HEADS: u32;

struct Params {
  first_row: u32,
  splits: u32,
}
var<uniform> params: Params;
var<storage, read_write> out: array<f32>;

fn put_channel(head: u32, channel: u32, value: f32) {
  out[(params.first_row * QUERY_HEADS + head) * HEAD_DIM + channel] = value;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  combine_splits(group.y * QUERY_HEADS + group.x, params.splits, thread);
}
