// Norm of each query and key head if given, RoPE, and the store of keys and values into their pages, scaled for a q8 cache.
// With: storage and cache-floats or cache-q8, step, reduce, int8-rows, raw-none or raw-heads. A thread group of LANES invocations for each row and head: queries, then keys, then values.
override HEAD_DIM: u32;
override QUERY_HEADS: u32;
override EPS: f32;
override SLICES: u32; // of the products, whose sums the kernel adds
const HALF: u32 = HEAD_DIM / 2u;
const PADDED: u32 = ROW_VECTORS * VECTOR_ELEMENTS;
const THREAD_GROUPS: u32 = THREADS / LANES;
const HEADS: u32 = QUERY_HEADS + 2u * KV_HEADS;

struct Params {
  q_norm: u32, // first element + 1; 0: none
  k_norm: u32,
  slice_stride: u32, // elements from the sums of a slice to those of the next
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> vectors: array<f32>;
var<storage, read> projected: array<f32>; // [SLICES][rows, (QUERY_HEADS + 2 KV_HEADS) * HEAD_DIM]
var<storage, read_write> query: array<f32>; // [rows, QUERY_HEADS * HEAD_DIM]
var<storage, read_write> keys: array<u32>;
var<storage, read_write> values: array<u32>;

var<workgroup> head_space: array<f32, THREAD_GROUPS * PADDED>;

fn projected_at(at: u32) -> f32 {
  var sum = projected[at];
  /* unroll */ for (var i = 0u; i < SLICES - 1u; i++) {
    sum += projected[(i + 1u) * params.slice_stride + at];
  }
  return sum;
}

// The i-th word of a row of the cache.
fn packed(space: u32, i: u32, scale: f32) -> u32 {
  if (IS_SCALED) {
    var word = 0u;
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      word |= int8_of(head_space[space + 4u * i + k], scale) << (8u * k);
    }
    return word;
  }
  if (VECTOR_ELEMENTS == 4u) {
    return bitcast<u32>(head_space[space + i]);
  }
  return pack2x16float(vec2f(head_space[space + 2u * i], head_space[space + 2u * i + 1u]));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.y;
  let lane = thread % LANES;
  let space = thread / LANES * PADDED;
  // thread groups past the last head repeat its work and store nothing
  let is_here = group.x * THREAD_GROUPS + thread / LANES < HEADS;
  let head = min(group.x * THREAD_GROUPS + thread / LANES, HEADS - 1u);
  let origin = (row * HEADS + head) * HEAD_DIM;
  var norm = 0u;
  if (head < QUERY_HEADS) {
    norm = params.q_norm;
  } else if (head < QUERY_HEADS + KV_HEADS) {
    norm = params.k_norm;
  }
  var scale = 1f;
  if (params.q_norm > 0u || params.k_norm > 0u) {
    var squares = 0f;
    for (var i = lane; i < HEAD_DIM; i += LANES) {
      let value = projected_at(origin + i);
      squares += value * value;
    }
    scale = inverseSqrt(reduce_sum(vec4f(squares), thread).x / f32(HEAD_DIM) + EPS);
  }
  for (var i = lane; i < PADDED; i += LANES) {
    var value = 0f;
    if (i < HEAD_DIM) {
      value = projected_at(origin + i);
      if (norm > 0u) {
        value *= scale * vectors[norm - 1u + i];
      }
      if (is_here) {
        store_raw(row, head, i, value);
      }
    }
    head_space[space + i] = value;
  }
  workgroupBarrier();
  if (head < QUERY_HEADS + KV_HEADS) {
    let rope = select(ROPE, QUERY_ROPE, head < QUERY_HEADS) + row * HEAD_DIM;
    for (var i = lane; i < HALF; i += LANES) {
      let c = bitcast<f32>(step[rope + i]);
      let s = bitcast<f32>(step[rope + HALF + i]);
      let a = head_space[space + i];
      let b = head_space[space + i + HALF];
      head_space[space + i] = a * c - b * s;
      head_space[space + i + HALF] = b * c + a * s;
    }
  }
  workgroupBarrier();
  var largest = vec4f();
  if (IS_SCALED) {
    for (var i = lane; i < HEAD_DIM; i += LANES) {
      largest = max(largest, magnitude(head_space[space + i]));
    }
    largest = reduce_max(largest, thread);
  }
  if (!is_here) {
    return;
  }
  if (head < QUERY_HEADS) {
    for (var i = lane; i < HEAD_DIM; i += LANES) {
      query[(row * QUERY_HEADS + head) * HEAD_DIM + i] = head_space[space + i];
    }
    return;
  }
  let kv_head = (head - QUERY_HEADS) % KV_HEADS;
  let slot = step[SLOTS + row];
  let is_key = head < QUERY_HEADS + KV_HEADS;
  let start = start_at(cache_place(slot / PAGE_SIZE, kv_head, slot % PAGE_SIZE), 0u);
  for (var i = lane; i < ROW_VECTORS * VECTOR_WORDS; i += LANES) {
    if (is_key) {
      keys[key_at(start, 0u) * VECTOR_WORDS + i] = packed(space, i, scale_of_row(largest));
    } else {
      values[value_at(start, 0u) * VECTOR_WORDS + i] = packed(space, i, scale_of_row(largest));
    }
  }
  if (IS_SCALED && lane == 0u) {
    keys[scales_at(start) * VECTOR_WORDS + select(1u, 0u, is_key)] = scale_bits(largest);
  }
}
