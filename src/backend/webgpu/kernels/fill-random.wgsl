// Pseudo-random numbers of one exponent, for benchmarks: sign and fraction are a hash of the position.
override DTYPE: u32; // 0 f32, 1 f16, 2 bf16

struct Params {
  seed: u32,
  exponent: u32, // biased
}
var<uniform> params: Params;
var<storage, read_write> words: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&words); i += groups.x * 256u) {
    var h = (i * 0x9e3779b9u) ^ (params.seed * 0x85ebca6bu);
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    h ^= h >> 16u;
    if (DTYPE == 0u) {
      words[i] = (h & 0x807fffffu) | (params.exponent << 23u);
    } else if (DTYPE == 1u) {
      words[i] = (h & 0x83ff83ffu) | (params.exponent * 0x04000400u);
    } else {
      words[i] = (h & 0x807f807fu) | (params.exponent * 0x00800080u);
    }
  }
}
