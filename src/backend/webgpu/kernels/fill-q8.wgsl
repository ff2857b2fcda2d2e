// Pseudo-random rows of a q8 cache, for benchmarks: int8 that are a hash of the position, and behind those of a key the scales.
override ROW_WORDS: u32; // of int8
override SCALE_WORDS: u32; // behind them

struct Params {
  seed: u32,
}
var<uniform> params: Params;
var<storage, read_write> words: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&words); i += groups.x * 256u) {
    var h = (i * 0x9e3779b9u) ^ (params.seed * 0x85ebca6bu);
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    words[i] = select(h ^ (h >> 16u), 0x3c000000u, i % (ROW_WORDS + SCALE_WORDS) >= ROW_WORDS); // 2^-7
  }
}
