// Prelude of finish-heads.wgsl: stores queries and keys before RoPE as well. With: step.
override HEAD_DIM: u32;
override QUERY_HEADS: u32;
var<storage, read_write> raw_query: array<f32>; // [rows, QUERY_HEADS, HEAD_DIM]
var<storage, read_write> raw_keys: array<f32>; // [rows, KV_HEADS, HEAD_DIM]

fn store_raw(row: u32, head: u32, i: u32, value: f32) {
  if (head < QUERY_HEADS) {
    raw_query[(row * QUERY_HEADS + head) * HEAD_DIM + i] = value;
  } else if (head < QUERY_HEADS + KV_HEADS) {
    raw_keys[(row * KV_HEADS + head - QUERY_HEADS) * HEAD_DIM + i] = value;
  }
}
