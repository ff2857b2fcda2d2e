// Prelude of the persistent layer kernel: everything a decode step of one row does between two attentions, in one dispatch.
// Stages: combine of the attention (layer-combine.wgsl or layer-copy.wgsl), attention output, gate and up, down, and the next
// layer's queries, keys and values (layer-to-heads.wgsl or layer-to-rows.wgsl). A stage's workgroups are numbered after those
// that produce its input, and load their weights while they wait for it. With: storage, shuffle, layer-mailbox, act-silu or act-gelu, and layer-stage
// as o, gate_up and down.
//
// A waiting workgroup requires that its producer has been scheduled. If workgroups launch in order, the workgroup's number
// says what it does; elsewhere (TICKETED) a ticket numbers workgroups as they start.
override INPUT: bool; // a next layer follows
override TICKETED: bool;
override EPS: f32;
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override FIRST_WORKGROUPS: u32;
override O_WORKGROUPS: u32;
override GATE_UP_WORKGROUPS: u32;
override DOWN_WORKGROUPS: u32;
override HIDDEN: u32;
override INTERMEDIATE: u32;
override ATTENDED_WORDS: u32;
override HIDDEN_WORDS: u32;
override GATED_WORDS: u32;
override SET_WORDS: u32; // of one dispatch: attended, hidden, gated, hidden, heads of a q8 cache, ticket
override SPACE: u32; // sums of a reduce group where several share a row
override SUM_WORDS: u32;
const GATE_UP_OUTPUTS: u32 = SUMS_gate_up / 2u;

struct Params {
  splits: u32, // of attention
  o: u32, // first vectors of matrices
  gate: u32,
  up: u32,
  down: u32,
  feed_norm: u32, // first vec4s of norm weights
  mailbox: u32, // of this dispatch
  stale: u32, // the mailbox of the previous dispatch, which this one resets for the next
  // with INPUT
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

var<workgroup> sum_space: array<f32, SUM_WORDS>;
var<workgroup> square_space: array<f32, REDUCE_GROUPS>;
var<workgroup> ticket: u32;

// The last workgroup of a stage may have rows past the end: it computes the last row instead and drops the result.
fn row_start_o(block: u32, r: u32) -> u32 {
  var row = block * SUMS_o + r;
  if (HIDDEN % SUMS_o != 0u) {
    row = min(row, HIDDEN - 1u);
  }
  return params.o + row * STRIDE_o;
}

// Half of the rows of each turn belong to gate, half to up.
fn row_start_gate_up(block: u32, r: u32) -> u32 {
  var row = block * GATE_UP_OUTPUTS + r / ROWS_gate_up * (ROWS_gate_up / 2u) + r % ROWS_gate_up % (ROWS_gate_up / 2u);
  if (INTERMEDIATE % GATE_UP_OUTPUTS != 0u) {
    row = min(row, INTERMEDIATE - 1u);
  }
  return select(params.gate, params.up, r % ROWS_gate_up >= ROWS_gate_up / 2u) + row * STRIDE_gate_up;
}

fn row_start_down(block: u32, r: u32) -> u32 {
  var row = block * SUMS_down + r;
  if (HIDDEN % SUMS_down != 0u) {
    row = min(row, HIDDEN - 1u);
  }
  return params.down + row * STRIDE_down;
}

// A sum that each reduce group has a part of.
fn total_of(i: u32) -> f32 {
  var sum = 0f;
  /* unroll */ for (var reduce_group = 0u; reduce_group < REDUCE_GROUPS; reduce_group++) {
    sum += sum_space[reduce_group * SPACE + i];
  }
  return sum;
}

fn scale_of() -> f32 {
  var sum = 0f;
  /* unroll */ for (var reduce_group = 0u; reduce_group < REDUCE_GROUPS; reduce_group++) {
    sum += square_space[reduce_group];
  }
  return inverseSqrt(sum / f32(HIDDEN) + EPS);
}

fn bias_of(first: u32, i: u32) -> f32 {
  let at = first - 1u + i;
  return vectors[at / 4u][at % 4u];
}

fn attention_output(block: u32, thread: u32) {
  let row = min(block * SUMS_o + min(thread, SUMS_o - 1u), HIDDEN - 1u);
  let before = x[row];
  run_o(block, params.mailbox, 0u, thread);
  workgroupBarrier();
  if (thread < SUMS_o && block * SUMS_o + thread < HIDDEN) {
    post(params.mailbox + ATTENDED_WORDS + mailbox_place(row, UNIT_gate_up), before + sum_of_o(thread));
  }
}

fn gate_up(block: u32, thread: u32) {
  run_gate_up(block, params.mailbox + ATTENDED_WORDS, params.feed_norm, thread);
  workgroupBarrier();
  let output = block * GATE_UP_OUTPUTS + thread;
  if (thread < GATE_UP_OUTPUTS && output < INTERMEDIATE) {
    let r = thread / (ROWS_gate_up / 2u) * ROWS_gate_up + thread % (ROWS_gate_up / 2u);
    let scale = scale_of();
    let value = act(scale * sum_of_gate_up(r)) * scale * sum_of_gate_up(r + ROWS_gate_up / 2u);
    post(params.mailbox + ATTENDED_WORDS + HIDDEN_WORDS + mailbox_place(output, UNIT_down), value);
  }
}

fn down(block: u32, thread: u32) {
  let row = min(block * SUMS_down + min(thread, SUMS_down - 1u), HIDDEN - 1u);
  let hidden = params.mailbox + ATTENDED_WORDS;
  let before = hidden + mailbox_place(row, UNIT_gate_up);
  let first = atomicLoad(&mailbox[before]);
  run_down(block, hidden + HIDDEN_WORDS, 0u, thread);
  workgroupBarrier();
  if (thread < SUMS_down && block * SUMS_down + thread < HIDDEN) {
    let value = receive(first, before) + sum_of_down(thread);
    x[row] = value;
    if (INPUT) {
      post(hidden + HIDDEN_WORDS + GATED_WORDS + mailbox_place(row, UNIT_input), value);
    }
  }
}

// The workgroup's number among all blocks of all stages.
fn begin(group: u32, groups: u32, thread: u32) -> u32 {
  var number = group;
  if (TICKETED) {
    if (thread == 0u) {
      ticket = atomicAdd(&mailbox[params.mailbox + SET_WORDS - 1u], 1u) + 1u; // UNSET + 1 is 0
    }
    number = workgroupUniformLoad(&ticket);
  }
  for (var i = number * THREADS + thread; i < SET_WORDS; i += groups * THREADS) {
    atomicStore(&mailbox[params.stale + i], UNSET);
  }
  return number;
}
