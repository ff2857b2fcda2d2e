// out[b][row] = W[row] · x[b] for few rows b of x. With: storage, shuffle, matvec-core, act-silu or act-gelu. A thread group computes OUTPUTS rows of
// out. With PAIR, out = act(first matrix) * second matrix, and half of the rows of each turn are of the second.
override PAIR: bool;
override GATED: bool; // out = act(out) * this matrix
override ADD: bool; // out += instead of out =
const TURN_OUTPUTS: u32 = select(ROWS, ROWS / 2u, PAIR);
const OUTPUTS: u32 = TURN_OUTPUTS * TURNS;

struct Params {
  first: Section, // matrices stacked; unused ones have no rows
  second: Section, // if PAIR, the partner
  third: Section,
  norm: u32, // first vec4 of the norm weights
  batch: u32,
  out_stride: u32,
}
var<uniform> params: Params;
var<storage, read_write> out: array<f32>;

fn is_of_partner(r: u32) -> bool {
  return PAIR && r >= ROWS / 2u;
}

fn row_start(section: Section, block: u32, r: u32) -> u32 {
  let row = min(block * OUTPUTS + r / ROWS * TURN_OUTPUTS + r % ROWS % TURN_OUTPUTS, section.rows - 1u);
  return select(section.first_vector, params.second.first_vector, is_of_partner(r % ROWS)) + row * STRIDE;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let thread_group = thread / LANES;
  var place = Place(params.first, (group.y * groups.x + group.x) * THREAD_GROUPS + thread_group);
  if (!PAIR) {
    place = place_of(place.block, OUTPUTS, params.first, params.second, params.third);
  }
  let section = place.section;
  let block = place.block;
  // the addend is loaded ahead of the weights
  const IS_ADDED_AHEAD = ADD && OUTPUTS * BATCH <= LANES;
  var added = 0f;
  if (IS_ADDED_AHEAD) {
    let row = min(block * OUTPUTS + thread % LANES / BATCH, section.rows - 1u);
    added = out[min(thread % BATCH, params.batch - 1u) * params.out_stride + section.out + row];
  }
  stream(section, block, params.norm, thread);
  workgroupBarrier();
  for (var i = thread % LANES; i < OUTPUTS * BATCH; i += LANES) {
    let r = i / BATCH; // of the thread group's outputs
    let b = i % BATCH;
    let row = block * OUTPUTS + r;
    if (b < params.batch && row < section.rows) {
      let turn_row = r / TURN_OUTPUTS * ROWS + r % TURN_OUTPUTS;
      let scale = scale_of(thread_group, b);
      var sum = scale * product_of(thread_group, turn_row, b);
      if (PAIR) {
        sum = act(sum) * scale * product_of(thread_group, turn_row + ROWS / 2u, b);
      }
      if (section.bias > 0u) {
        sum += bias_of(section, row);
      }
      let at = b * params.out_stride + section.out + row;
      if (GATED) {
        sum *= act(out[at]);
      }
      if (IS_ADDED_AHEAD) {
        sum += added;
      } else if (ADD) {
        sum += out[at];
      }
      out[at] = sum;
    }
  }
}
