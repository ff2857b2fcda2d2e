// Gives each kv head the set of another. An invocation copies one token of one set.
struct Params {
  heads: u32,
  capacity: u32,
  out_capacity: u32,
}
var<uniform> params: Params;
var<storage, read> map: array<u32>; // of each head, the head whose set it gets
var<storage, read> indices: array<u32>;
var<storage, read> counts: array<u32>;
var<storage, read_write> out: array<u32>;
var<storage, read_write> out_counts: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let sets = id.z * params.heads;
  let mapped = sets + map[id.y];
  let count = counts[mapped];
  if (id.x == 0u) {
    out_counts[sets + id.y] = count;
  }
  if (id.x < count) {
    out[(sets + id.y) * params.out_capacity + id.x] = indices[mapped * params.capacity + id.x];
  }
}
