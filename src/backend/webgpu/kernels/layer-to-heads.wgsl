// Last stage of the layer kernel, for heads without a norm of their own: the next layer's queries, keys and values with RoPE,
// and the store of keys and values into the pages. With: layer-core, step, a stage as input,
// layer-input or layer-input-value, and layer-store-floats or layer-store-int8.
const HALF: u32 = HEAD_DIM / 2u;
const RUN: u32 = SUMS_input / 2u; // consecutive rows of a head, an even number, and as many half a head further
const HEAD_BLOCKS: u32 = HALF / RUN;
const INPUT_BLOCKS: u32 = (QUERY_HEADS + 2u * KV_HEADS) * HEAD_BLOCKS;

var<storage, read> step: array<u32>;
var<storage, read_write> query: array<f32>;

// 0 for a head of queries, 1 of keys, 2 of values.
fn kind_of(block: u32) -> u32 {
  let head = block / HEAD_BLOCKS;
  return select(select(0u, 1u, head >= QUERY_HEADS), 2u, head >= QUERY_HEADS + KV_HEADS);
}

// A row of the workgroup among those of its matrix. The rows are two runs of one head, half a head apart: the elements that RoPE
// rotates together.
fn matrix_row(block: u32, r: u32) -> u32 {
  var head = block / HEAD_BLOCKS;
  if (head >= QUERY_HEADS + KV_HEADS) {
    head -= QUERY_HEADS + KV_HEADS;
  } else if (head >= QUERY_HEADS) {
    head -= QUERY_HEADS;
  }
  return head * HEAD_DIM + block % HEAD_BLOCKS * RUN + r / RUN * HALF + r % RUN;
}

fn last_stage(block: u32, thread: u32) {
  if (STORES_HEADS && block >= INPUT_BLOCKS) {
    store_head(block - INPUT_BLOCKS, thread);
    return;
  }
  var head = block / HEAD_BLOCKS;
  var kind = 0u;
  var bias = params.q_bias;
  if (head >= QUERY_HEADS) {
    kind = select(1u, 2u, head >= QUERY_HEADS + KV_HEADS);
    head -= select(QUERY_HEADS, QUERY_HEADS + KV_HEADS, kind == 2u);
    bias = select(params.k_bias, params.v_bias, kind == 2u);
  }
  // an invocation computes two neighbours and the two half a head further
  let r = min(thread, RUN / 2u - 1u) * 2u;
  let d = block % HEAD_BLOCKS * RUN + r;
  var at = head * HEAD_DIM + d;
  if (kind > 0u) {
    at = cached_at(kind, head) + d;
  }
  var c = vec2f(1f);
  var s = vec2f();
  if (kind < 2u) {
    let angle = select(ROPE, QUERY_ROPE, kind == 0u) + d;
    c = vec2f(bitcast<f32>(step[angle]), bitcast<f32>(step[angle + 1u]));
    s = vec2f(bitcast<f32>(step[angle + HALF]), bitcast<f32>(step[angle + HALF + 1u]));
  }
  run_heads(block, params.mailbox + ATTENDED_WORDS + HIDDEN_WORDS + GATED_WORDS, params.input_norm, thread);
  workgroupBarrier();
  if (thread >= RUN / 2u) {
    return;
  }
  let scale = scale_of();
  var low_half = scale * vec2f(sum_of_input(r), sum_of_input(r + 1u));
  var high_half = scale * vec2f(sum_of_input(RUN + r), sum_of_input(RUN + r + 1u));
  if (bias > 0u) {
    let first = head * HEAD_DIM + d;
    low_half += vec2f(bias_of(bias, first), bias_of(bias, first + 1u));
    high_half += vec2f(bias_of(bias, first + HALF), bias_of(bias, first + HALF + 1u));
  }
  let turned_low = low_half * c - high_half * s;
  let turned_high = high_half * c + low_half * s;
  if (kind == 0u) {
    query[at] = turned_low.x;
    query[at + 1u] = turned_low.y;
    query[at + HALF] = turned_high.x;
    query[at + HALF + 1u] = turned_high.y;
  } else {
    store_two(kind, at, turned_low);
    store_two(kind, at + HALF, turned_high);
  }
}
