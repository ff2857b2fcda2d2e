// The chain with the next layer's queries, keys and values as they come out of the product, for finish-heads.wgsl. With: chain,
// chain-stage as input, and a first stage.
const QUERY_ROWS: u32 = 1u;
const KV_ROWS: u32 = 1u; // multiples of SUMS_input
@group(0) @binding(9) var<storage, read_write> projected: array<f32>;

fn row_start_input(block: u32, r: u32) -> u32 {
  var row = block * SUMS_input;
  var piece = params.q;
  if (row >= QUERY_ROWS + KV_ROWS) {
    row -= QUERY_ROWS + KV_ROWS;
    piece = params.v;
  } else if (row >= QUERY_ROWS) {
    row -= QUERY_ROWS;
    piece = params.k;
  }
  return piece + (row + r) * STRIDE_input;
}

fn bias_of(first: u32, i: u32) -> f32 {
  let at = first - 1u + i;
  return vectors[at / 4u][at % 4u];
}

fn attention_input(block: u32, thread: u32) {
  run_input(block, params.links + ATTENDED_LINKS + HIDDEN_LINKS + FEED_LINKS, params.input_norm, thread);
  workgroupBarrier();
  if (thread < SUMS_input) {
    let row = block * SUMS_input + thread;
    var value = scale_of() * sum_of(thread);
    let first = select(select(params.q_bias, params.k_bias, row >= QUERY_ROWS), params.v_bias, row >= QUERY_ROWS + KV_ROWS);
    if (first > 0u) {
      let skipped = select(select(0u, QUERY_ROWS, row >= QUERY_ROWS), QUERY_ROWS + KV_ROWS, row >= QUERY_ROWS + KV_ROWS);
      value += bias_of(first, row - skipped);
    }
    projected[row] = value;
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let number = begin(group.x, groups.x, thread);
  if (number < FIRST_BLOCKS) {
    first_stage(number, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS) {
    attention_output(number - FIRST_BLOCKS, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS + FEED_BLOCKS) {
    feed(number - FIRST_BLOCKS - O_BLOCKS, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS + FEED_BLOCKS + DOWN_BLOCKS) {
    down(number - FIRST_BLOCKS - O_BLOCKS - FEED_BLOCKS, thread);
  } else {
    attention_input(number - FIRST_BLOCKS - O_BLOCKS - FEED_BLOCKS - DOWN_BLOCKS, thread);
  }
}
