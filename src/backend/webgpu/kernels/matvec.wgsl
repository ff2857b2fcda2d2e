// out[b][row] = W[row] · x[b] for few rows b of x: reads the weights once. With: storage, reduce.
// A team of LANES invocations makes ROWS outputs of up to BATCH rows of x; all its loads of weights are independent.
const ROWS: u32 = 4u; // a multiple of 4; half of them of each matrix where PAIR
const BATCH: u32 = 1u;
const STRIDE: u32 = 1u; // pieces of a weight row
const X_STRIDE: u32 = 1u; // vec4s of a row of x
const COLS: u32 = 4u;
const NORM: bool = false; // x is normed on the way: x / rms(x) * norm
const PAIR: bool = false; // out = silu(first matrix) * second matrix
const ADD: bool = false; // out += instead of out =
const EPS: f32 = 1e-6;
const TEAMS: u32 = THREADS / LANES;
const OUTPUTS: u32 = select(ROWS, ROWS / 2u, PAIR); // rows of the output a team makes

struct Section {
  piece: u32, // first piece of the matrix
  rows: u32,
  out: u32, // column of its first output
  bias: u32, // first element of the bias + 1; 0: none
}
struct Params {
  sections: array<Section, 3>, // matrices stacked; unused ones have no rows. Where PAIR, the second is the partner
  norm: u32, // first vec4 of the norm weights
  batch: u32,
  out_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

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
    sum += vectors[(section.bias - 1u + row) / 4u][(section.bias - 1u + row) % 4u];
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
  var sums: array<f32, ROWS * BATCH> = array<f32, ROWS * BATCH>();
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  for (var piece = lane; piece < STRIDE; piece += LANES) {
    var w: array<vec4u, ROWS> = array<vec4u, ROWS>();
    /* unroll */ for (var r = 0u; r < ROWS; r++) {
      w[r] = weights[starts[r] + piece];
    }
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      let at = b * X_STRIDE + piece * PIECE4;
      var a = x[at];
      if (NORM) {
        squares[b] = fma4(a, a, squares[b]);
        a *= vectors[params.norm + piece * PIECE4];
      }
      /* unroll */ for (var r = 0u; r < ROWS; r++) {
        sums[r * BATCH + b] = fma4(low(w[r]), a, sums[r * BATCH + b]);
      }
      if (PIECE == 8u) {
        var c = x[at + 1u];
        if (NORM) {
          squares[b] = fma4(c, c, squares[b]);
          c *= vectors[params.norm + piece * PIECE4 + 1u];
        }
        /* unroll */ for (var r = 0u; r < ROWS; r++) {
          sums[r * BATCH + b] = fma4(high(w[r]), c, sums[r * BATCH + b]);
        }
      }
    }
  }
  /* unroll */ for (var b = 0u; b < BATCH; b++) {
    var scale = 1f;
    if (NORM) {
      scale = inverseSqrt(team_sum(vec4f(squares[b]), thread).x / f32(COLS) + EPS);
    }
    /* unroll */ for (var r4 = 0u; r4 < ROWS / 4u; r4++) {
      const r = 4u * r4;
      let part = vec4f(
        sums[r * BATCH + b], sums[(r + 1u) * BATCH + b], sums[(r + 2u) * BATCH + b], sums[(r + 3u) * BATCH + b]);
      let total = scale * team_sum(part, thread);
      /* unroll */ for (var i = 0u; i < 4u; i++) {
        sums[(r + i) * BATCH + b] = total[i];
      }
    }
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
