// Marks the places (rank × heads + head) at which units come first: one bit a place. One invocation a unit.
const UNIT: u32 = 1u;
const LENGTHS: u32 = 0u;

struct Params {
  first_sequence: u32,
  capacity: u32, // of `best`
  first_words: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> best: array<u32>; // [sequences, capacity]: the least place of each unit
@group(0) @binding(3) var<storage, read_write> firsts: array<atomic<u32>>; // [sequences, first_words]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let length = step[LENGTHS + params.first_sequence + id.y];
  if (id.x >= (length + UNIT - 1u) / UNIT) {
    return;
  }
  let place = best[id.y * params.capacity + id.x];
  if (place != 0xffffffffu) {
    atomicOr(&firsts[id.y * params.first_words + place / 32u], 1u << (place % 32u));
  }
}
