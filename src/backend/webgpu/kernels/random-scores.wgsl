// score[t] = hashUnit(seed, layer, length, t) (base/random.ts), the same on every backend.
override LENGTHS: u32;

struct Params {
  first_sequence: u32,
  layer: u32,
  seed: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read_write> scores: array<f32>;

fn mix_word(word: u32) -> u32 {
  var h = word + 0x9e3779b9u;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let length = step[LENGTHS + params.first_sequence + id.y];
  if (id.x >= length) {
    return;
  }
  let bits = mix_word(mix_word(mix_word(mix_word(params.seed) ^ params.layer) ^ length) ^ id.x);
  scores[id.y * params.capacity + id.x] = f32(bits >> 8u) / 16777216f;
}
