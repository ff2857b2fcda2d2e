// Pseudo-random quantised rows, for benchmarks: any bits before the f16 scales, and scales of one exponent.
override STRIDE: u32; // words of a row
override PLAIN: u32; // before its scales
override SCALES: u32;

struct Params {
  seed: u32,
  exponent: u32, // biased
  first: u32, // word
  count: u32,
}
var<uniform> params: Params;
var<storage, read_write> words: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 256u) {
    var h = (i * 0x9e3779b9u) ^ (params.seed * 0x85ebca6bu);
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    h ^= h >> 16u;
    let word = i % STRIDE;
    if (word >= PLAIN + SCALES) {
      h = 0u;
    } else if (word >= PLAIN) {
      h = (h & 0x83ff83ffu) | (params.exponent * 0x04000400u);
    }
    words[params.first + i] = h;
  }
}
