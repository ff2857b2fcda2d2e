// Sketches keys from the first position without a sketch to the end of each sequence: 4 bits a channel and a scale for each key.
// With: storage or int8-floats, step, cache-floats or cache-q8. An invocation sketches one key of one kv head.
override HEAD_DIM: u32;
override WORDS: u32; // of a sketch

struct Params {
  first_sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> keys: array<CacheVector>;
var<storage, read_write> sketch: array<u32>;

// Four channels of the key at `place` from `channel` on, a multiple of 4; zeros past the last.
fn channels(place: u32, channel: u32) -> vec4f {
  if (channel >= HEAD_DIM) {
    return vec4f(0f);
  }
  let lane = channel / VECTOR_ELEMENTS;
  let start = start_at(place, lane);
  let bits = keys[key_at(start, lane)];
  var four = low(bits);
  if (channel % VECTOR_ELEMENTS >= 4u) {
    four = high(bits);
  }
  if (IS_SCALED) {
    four *= scales_in(keys[scales_at(start)]).x;
  }
  return four;
}

fn codes(four: vec4f, scale: f32) -> vec4u {
  return vec4u(vec4i(clamp(round(four / scale), vec4f(-7f), vec4f(7f))) + vec4i(8));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let sequence = params.first_sequence + group.y;
  let length = step[LENGTHS + sequence];
  let item = group.x * 64u + thread;
  let position = step[VALID_BOUNDS + sequence] + item / KV_HEADS;
  let kv_head = item % KV_HEADS;
  if (position >= length) {
    return;
  }
  let page = step[PAGE_TABLES + sequence * MAX_PAGES + position / PAGE_SIZE];
  let place = cache_place(page, kv_head, position % PAGE_SIZE);
  var largest = vec4f(0f);
  for (var channel = 0u; channel < HEAD_DIM; channel += 4u) {
    largest = max(largest, abs(channels(place, channel)));
  }
  let scale = max(max(largest.x, largest.y), max(largest.z, largest.w)) / 7f;
  let to = ((page * PAGE_SIZE + position % PAGE_SIZE) * KV_HEADS + kv_head) * WORDS;
  for (var word = 0u; word + 1u < WORDS; word++) {
    var packed = 0x88888888u;
    if (scale > 0f) {
      let channel = word / 4u * 32u + word % 4u * 4u;
      let both = codes(channels(place, channel), scale) | (codes(channels(place, channel + 16u), scale) << vec4u(4u));
      packed = both.x | (both.y << 8u) | (both.z << 16u) | (both.w << 24u);
    }
    sketch[to + word] = packed;
  }
  sketch[to + WORDS - 1u] = bitcast<u32>(scale);
}
