// out[b][row] = W[row] · x[b] for few rows b of x. With: storage, reduce, matvec-core. A team makes OUTPUTS rows of out;
// where PAIR, out = silu(first matrix) * second matrix, and it takes half of its rows from each.
const ADD: bool = false; // out += instead of out =
const OUTPUTS: u32 = select(ROWS, ROWS / 2u, PAIR);

struct Params {
  sections: array<Section, 3>, // matrices stacked; unused ones have no rows. Where PAIR, the second is the partner
  norm: u32, // first vec4 of the norm weights
  batch: u32,
  out_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

fn silu(v: f32) -> f32 {
  return v / (1f + exp(-v));
}

fn store(b: u32, section: Section, row: u32, value: f32) {
  if (b >= params.batch || row >= section.rows) {
    return;
  }
  let at = b * params.out_stride + section.out + row;
  var sum = value;
  if (section.bias > 0u) {
    sum += bias_of(section, row);
  }
  if (ADD) {
    sum += out[at];
  }
  out[at] = sum;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  var block = (group.y * groups.x + group.x) * TEAMS + thread / LANES;
  var section = params.sections[0];
  for (var i = 0u; i < select(2u, 0u, PAIR); i++) {
    let blocks = (section.rows + OUTPUTS - 1u) / OUTPUTS;
    if (block >= blocks && params.sections[i + 1u].rows > 0u) {
      block -= blocks;
      section = params.sections[i + 1u];
    }
  }
  let first = block * OUTPUTS;
  let last = section.rows - 1u;
  var starts: array<u32, ROWS> = array<u32, ROWS>();
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    if (PAIR && r >= OUTPUTS) {
      starts[r] = params.sections[1].piece + min(first + r - OUTPUTS, last) * STRIDE;
    } else {
      starts[r] = section.piece + min(first + r, last) * STRIDE;
    }
  }
  let sums = products(starts, params.norm, thread);
  /* unroll */ for (var b = 0u; b < BATCH; b++) {
    /* unroll */ for (var r = 0u; r < OUTPUTS; r++) {
      if (lane == r) {
        if (PAIR) {
          store(b, section, first + r, silu(sums[r * BATCH + b]) * sums[((r + OUTPUTS) % ROWS) * BATCH + b]);
        } else {
          store(b, section, first + r, sums[r * BATCH + b]);
        }
      }
    }
  }
}
