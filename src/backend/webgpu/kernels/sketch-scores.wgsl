// The largest of the scaled logits of the query heads of a kv head against the sketches of all keys. With: step.
// An invocation takes one position and all heads of the group.
override HEAD_DIM: u32;
override WORDS: u32; // of a sketch
override GROUP: u32; // query heads of a kv head
override SCALE: f32;

struct Params {
  first_sequence: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> sketch: array<u32>;
var<storage, read_write> scores: array<f32>;

const CHANNELS: u32 = (WORDS - 1u) * 8u;
var<workgroup> q_space: array<vec4f, GROUP * (WORDS - 1u) * 2u>;

fn low_codes(word: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(15u)) - vec4f(8f);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let kv_head = group.y;
  let sequence = params.first_sequence + group.z;
  let length = step[LENGTHS + sequence];
  let first_head = step[FIRST_ROWS + sequence] * (KV_HEADS * GROUP) + kv_head * GROUP;
  for (var i = thread; i < GROUP * CHANNELS / 4u; i += 128u) {
    let channel = i % (CHANNELS / 4u) * 4u;
    let first = (first_head + i / (CHANNELS / 4u)) * HEAD_DIM + channel;
    var four = vec4f(0f);
    if (channel < HEAD_DIM) {
      four = vec4f(query[first], query[first + 1u], query[first + 2u], query[first + 3u]);
    }
    q_space[i] = four;
  }
  workgroupBarrier();
  let position = group.x * 128u + thread;
  if (position >= length) {
    return;
  }
  let page = step[PAGE_TABLES + sequence * MAX_PAGES + position / PAGE_SIZE];
  let at = ((page * PAGE_SIZE + position % PAGE_SIZE) * KV_HEADS + kv_head) * WORDS;
  var sums: array<f32, GROUP>;
  for (var word = 0u; word + 1u < WORDS; word++) {
    let codes = sketch[at + word];
    let low = low_codes(codes);
    let high = low_codes(codes >> 4u);
    let channel = word / 4u * 32u + word % 4u * 4u;
    for (var head = 0u; head < GROUP; head++) {
      let q = head * (CHANNELS / 4u) + channel / 4u;
      sums[head] += dot(q_space[q], low) + dot(q_space[q + 4u], high);
    }
  }
  let scale = bitcast<f32>(sketch[at + WORDS - 1u]) * SCALE;
  var best = sums[0] * scale;
  for (var head = 1u; head < GROUP; head++) {
    best = max(best, sums[head] * scale);
  }
  scores[(group.z * KV_HEADS + kv_head) * params.capacity + position] = best;
}
