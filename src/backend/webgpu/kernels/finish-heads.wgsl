// Norm of each query and key head if given, RoPE, and the store of keys and values into their pages.
// With: storage, step, reduce. A thread group of LANES invocations for each row and head: queries, then keys, then values.
override HEAD_DIM: u32;
override QUERY_HEADS: u32;
override EPS: f32;
const HALF: u32 = HEAD_DIM / 2u;
const PADDED: u32 = ROW_VECTORS * VECTOR_ELEMENTS;
const THREAD_GROUPS: u32 = THREADS / LANES;
const HEADS: u32 = QUERY_HEADS + 2u * KV_HEADS;

struct Params {
  q_norm: u32, // first element + 1; 0: none
  k_norm: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> vectors: array<f32>;
var<storage, read> projected: array<f32>; // [rows, (QUERY_HEADS + 2 KV_HEADS) * HEAD_DIM]
var<storage, read_write> query: array<f32>; // [rows, QUERY_HEADS * HEAD_DIM]
var<storage, read_write> keys: array<u32>;
var<storage, read_write> values: array<u32>;

var<workgroup> head_space: array<f32, THREAD_GROUPS * PADDED>;

// The i-th word of a row of the cache.
fn packed(space: u32, i: u32) -> u32 {
  if (DTYPE == 0u) {
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
      squares += projected[origin + i] * projected[origin + i];
    }
    scale = inverseSqrt(reduce_sum(vec4f(squares), thread).x / f32(HEAD_DIM) + EPS);
  }
  for (var i = lane; i < PADDED; i += LANES) {
    var value = 0f;
    if (i < HEAD_DIM) {
      value = projected[origin + i];
      if (norm > 0u) {
        value *= scale * vectors[norm - 1u + i];
      }
    }
    head_space[space + i] = value;
  }
  workgroupBarrier();
  if (head < QUERY_HEADS + KV_HEADS) {
    for (var i = lane; i < HALF; i += LANES) {
      let c = bitcast<f32>(step[ROPE + row * HEAD_DIM + i]);
      let s = bitcast<f32>(step[ROPE + row * HEAD_DIM + HALF + i]);
      let a = head_space[space + i];
      let b = head_space[space + i + HALF];
      head_space[space + i] = a * c - b * s;
      head_space[space + i + HALF] = b * c + a * s;
    }
  }
  workgroupBarrier();
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
  let at = cache_row(slot / PAGE_SIZE, kv_head, slot % PAGE_SIZE) * 4u;
  for (var i = lane; i < ROW_VECTORS * 4u; i += LANES) {
    if (head < QUERY_HEADS + KV_HEADS) {
      keys[at + i] = packed(space, i);
    } else {
      values[at + i] = packed(space, i);
    }
  }
}
