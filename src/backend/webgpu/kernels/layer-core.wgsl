// Prelude: what a decode step's one row needs between two attentions, in one dispatch: what was attended (layer-combine.wgsl or
// layer-copy.wgsl), attention output, gate and up, down, and the next layer's queries, keys and values (layer-to-heads.wgsl or
// layer-to-rows.wgsl). Each stage's workgroups come after those whose results they take, and have their weights on the way
// while they wait. With: storage, fold, chain-links, and chain-stage as o, feed and down.
//
// Whoever waits must know that what it waits for has begun: where workgroups begin in the order of their numbers, a workgroup's
// number says what it does; elsewhere (TICKETS) the order in which they begin.
override INPUT: bool; // the next layer's queries, keys and values follow
override TICKETS: bool;
override EPS: f32;
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override FIRST_BLOCKS: u32;
override O_BLOCKS: u32;
override FEED_BLOCKS: u32;
override DOWN_BLOCKS: u32;
override HIDDEN: u32;
override ATTENDED_LINKS: u32;
override HIDDEN_LINKS: u32;
override FEED_LINKS: u32;
override SET_LINKS: u32; // of one dispatch: attended, hidden, feed, hidden, ticket
override SPACE: u32; // sums of a fold, then its squares
const FOLDS: u32 = THREADS / FOLD;
const FEED_OUTPUTS: u32 = SUMS_feed / 2u;

struct Params {
  splits: u32, // of attention
  o: u32, // first pieces of matrices
  gate: u32,
  up: u32,
  down: u32,
  feed_norm: u32, // first vec4s of norm weights
  links: u32, // of this dispatch
  stale: u32, // those of the dispatch before, to be UNSET for the one after
  // where queries, keys and values follow
  input_norm: u32,
  q: u32,
  k: u32,
  v: u32,
  q_bias: u32, // first elements of biases + 1; 0: none
  k_bias: u32,
  v_bias: u32,
}
var<uniform> params: Params;
var<storage, read> vectors: array<vec4f>;
var<storage, read_write> x: array<f32>;

var<workgroup> sum_space: array<f32, FOLDS * SPACE>;
var<workgroup> ticket: u32;

fn row_start_o(block: u32, r: u32) -> u32 {
  return params.o + (block * SUMS_o + r) * STRIDE_o;
}

// Half of the rows of each turn are of the gate, half of up.
fn row_start_feed(block: u32, r: u32) -> u32 {
  let row = block * FEED_OUTPUTS + r / ROWS_feed * (ROWS_feed / 2u) + r % ROWS_feed % (ROWS_feed / 2u);
  return select(params.gate, params.up, r % ROWS_feed >= ROWS_feed / 2u) + row * STRIDE_feed;
}

fn row_start_down(block: u32, r: u32) -> u32 {
  return params.down + (block * SUMS_down + r) * STRIDE_down;
}

fn sum_of(i: u32) -> f32 {
  var sum = 0f;
  /* unroll */ for (var fold = 0u; fold < FOLDS; fold++) {
    sum += sum_space[fold * SPACE + i];
  }
  return sum;
}

fn scale_of() -> f32 {
  return inverseSqrt(sum_of(SPACE - 1u) / f32(HIDDEN) + EPS);
}

fn silu(v: f32) -> f32 {
  return v / (1f + exp(-v));
}

fn bias_of(first: u32, i: u32) -> f32 {
  let at = first - 1u + i;
  return vectors[at / 4u][at % 4u];
}

fn attention_output(block: u32, thread: u32) {
  let row = block * SUMS_o + min(thread, SUMS_o - 1u);
  let before = x[row];
  run_o(block, params.links, 0u, thread);
  workgroupBarrier();
  if (thread < SUMS_o) {
    set_link(params.links + ATTENDED_LINKS + link_place(row), before + sum_of(thread));
  }
}

fn feed(block: u32, thread: u32) {
  run_feed(block, params.links + ATTENDED_LINKS, params.feed_norm, thread);
  workgroupBarrier();
  if (thread < FEED_OUTPUTS) {
    let r = thread / (ROWS_feed / 2u) * ROWS_feed + thread % (ROWS_feed / 2u);
    let scale = scale_of();
    let value = silu(scale * sum_of(r)) * scale * sum_of(r + ROWS_feed / 2u);
    set_link(params.links + ATTENDED_LINKS + HIDDEN_LINKS + link_place(block * FEED_OUTPUTS + thread), value);
  }
}

fn down(block: u32, thread: u32) {
  let row = block * SUMS_down + min(thread, SUMS_down - 1u);
  let before = params.links + ATTENDED_LINKS + link_place(row);
  run_down(block, params.links + ATTENDED_LINKS + HIDDEN_LINKS, 0u, thread);
  workgroupBarrier();
  if (thread < SUMS_down) {
    let value = link_of(UNSET, before) + sum_of(thread);
    x[row] = value;
    if (INPUT) {
      set_link(before + HIDDEN_LINKS + FEED_LINKS, value);
    }
  }
}

// What the workgroup is to do, counted from the first stage on.
fn begin(group: u32, groups: u32, thread: u32) -> u32 {
  var number = group;
  if (TICKETS) {
    if (thread == 0u) {
      ticket = atomicAdd(&links[params.links + SET_LINKS - 1u], 1u) + 1u; // UNSET + 1 is 0
    }
    number = workgroupUniformLoad(&ticket);
  }
  for (var i = number * THREADS + thread; i < SET_LINKS; i += groups * THREADS) {
    atomicStore(&links[params.stale + i], UNSET);
  }
  return number;
}
