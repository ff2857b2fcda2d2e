// out[b][row] = W[row] · x[b] for many rows b of x, on the matrix units: f16 × f16 to f32 at 16 × 16 × 16. With: storage, matrix.
// A workgroup makes TILE_X × TILE_W outputs over strips of STRIP columns; each of its SPLIT_X × SPLIT_W subgroups has a
// block of them in its accumulators. The next strip is on its way in registers while one is used; with two BUFFERS it is
// written beside the one in use, so that subgroups need not wait for each other in between.
const TILE_X: u32 = 128u; // rows of x
const TILE_W: u32 = 128u; // rows of the weight; where PAIR, half of them of each matrix
const STRIP: u32 = 32u;
const SPLIT_X: u32 = 2u;
const SPLIT_W: u32 = 4u;
const STRIDE: u32 = 1u; // pieces of a weight row
const X_STRIDE: u32 = 1u; // pieces of a row of x, zeros past its columns; a whole number of strips
const BUFFERS: u32 = 1u; // 1 or 2
const PAIR: bool = false; // out = silu(first matrix) * second matrix
const ADD: bool = false;
const THREADS: u32 = SUBGROUP * SPLIT_X * SPLIT_W;
const PARTS: u32 = STRIP / 8u; // pieces of a row in a strip
const TILE_STRIDE: u32 = PARTS + 1u; // one more, so that neighbouring rows lie in other banks
const BLOCKS_X: u32 = TILE_X / SPLIT_X / 16u; // of a subgroup
const BLOCKS_W: u32 = TILE_W / SPLIT_W / 16u;
const HALF_W: u32 = TILE_W / 2u;
const STRIPS: u32 = X_STRIDE / PARTS;
const X_LOADS: u32 = (TILE_X * PARTS + THREADS - 1u) / THREADS;
const W_LOADS: u32 = (TILE_W * PARTS + THREADS - 1u) / THREADS;
const OUT_BLOCKS: u32 = select(BLOCKS_W, BLOCKS_W / 2u, PAIR);
const BUFFER: u32 = (TILE_X + TILE_W) * TILE_STRIDE; // rows of x, then of the weight
// Outputs go through memory a row of blocks at a time: results of the matrix units can only be stored.
const SUM_STRIDE: u32 = BLOCKS_W * 4u + 1u; // pieces of four outputs
const SUM_SPACE: u32 = 16u * SUM_STRIDE; // of a subgroup
const SPACE: u32 = max(BUFFERS * BUFFER, SPLIT_X * SPLIT_W * SUM_SPACE);
const OUT_COLS: u32 = OUT_BLOCKS * 16u; // of a subgroup
const OUT_TURNS: u32 = 16u * OUT_COLS / SUBGROUP;

struct Params {
  piece: u32,
  rows: u32, // of the weight; of each where PAIR
  out: u32, // column of the first output
  bias: u32, // first element of the bias + 1; 0: none
  batch: u32,
  out_stride: u32,
  partner: u32, // first piece of the second matrix where PAIR
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
@group(0) @binding(2) var<storage, read> x: array<vec4u>; // f16
@group(0) @binding(3) var<storage, read> vectors: array<f32>;
@group(0) @binding(4) var<storage, read> scales: array<f32>; // of each row of x
@group(0) @binding(5) var<storage, read> partner: array<vec4u>; // where the second matrix lies, where PAIR
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

var<workgroup> space: array<vec4u, SPACE>;

fn silu(v: f32) -> f32 {
  return v / (1f + exp(-v));
}

fn sum_at(row: u32, column: u32) -> f32 {
  return bitcast<f32>(space[row + column / 4u][column % 4u]);
}

// Eight elements of a weight as f16.
fn halves(piece: vec4u) -> vec4u {
  if (DTYPE == 2u) {
    let a = low(piece);
    let b = high(piece);
    return vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
  }
  return piece;
}

alias XNext = array<vec4u, X_LOADS>;
alias WNext = array<vec4u, W_LOADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  // workgroups side by side share the weights
  let first_b = group.x * TILE_X;
  let first_row = group.y * select(TILE_W, HALF_W, PAIR);
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let my_x = subgroup / SPLIT_W * (BLOCKS_X * 16u); // of the tile
  let my_w = subgroup % SPLIT_W * (OUT_BLOCKS * 16u);
  var sums: array<subgroup_matrix_result<f32, 16, 16>, BLOCKS_X * BLOCKS_W>;

  // rows past the end are read somewhere inside: their products are not stored
  var x_from: array<u32, X_LOADS> = array<u32, X_LOADS>();
  var w_from: array<u32, W_LOADS> = array<u32, W_LOADS>();
  /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
    let at = i * THREADS + thread;
    x_from[i] = min(first_b + at / PARTS, params.batch - 1u) * X_STRIDE + at % PARTS;
  }
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    let is_partner = PAIR && at / PARTS >= HALF_W;
    let row = min(first_row + at / PARTS % select(TILE_W, HALF_W, PAIR), params.rows - 1u);
    w_from[i] = select(params.piece, params.partner, is_partner) + row * STRIDE + at % PARTS;
  }
  for (var strip = 0u; strip <= STRIPS; strip++) {
    var x_next = XNext();
    var w_next = WNext();
    if (strip < STRIPS) {
      /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
        x_next[i] = x[x_from[i] + strip * PARTS];
      }
      /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
        let at = i * THREADS + thread;
        var source = w_from[i] + strip * PARTS;
        if (STRIDE % PARTS != 0u) {
          source -= max(strip * PARTS + at % PARTS, STRIDE - 1u) - (STRIDE - 1u); // x has zeros there
        }
        if (PAIR && at / PARTS >= HALF_W) {
          w_next[i] = partner[source];
        } else {
          w_next[i] = weights[source];
        }
      }
    }
    if (strip > 0u) {
      let buffer = (strip - 1u) % BUFFERS * BUFFER;
      /* unroll */ for (var k = 0u; k < STRIP / 16u; k++) {
        var left: array<subgroup_matrix_left<f16, 16, 16>, BLOCKS_X>;
        /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
          left[i] = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(
            &space, buffer + (my_x + i * 16u) * TILE_STRIDE + k * 2u, TILE_STRIDE);
        }
        /* unroll */ for (var j = 0u; j < BLOCKS_W; j++) {
          let row = TILE_X + my_w + select(j * 16u, j / OUT_BLOCKS * HALF_W + j % OUT_BLOCKS * 16u, PAIR);
          let right = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(
            &space, buffer + row * TILE_STRIDE + k * 2u, TILE_STRIDE);
          /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
            sums[i * BLOCKS_W + j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i * BLOCKS_W + j]);
          }
        }
      }
    }
    if (strip < STRIPS) {
      let buffer = strip % BUFFERS * BUFFER;
      if (BUFFERS == 1u) {
        workgroupBarrier();
      }
      /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
        let at = i * THREADS + thread;
        if (TILE_X * PARTS % THREADS == 0u || at < TILE_X * PARTS) {
          space[buffer + at / PARTS * TILE_STRIDE + at % PARTS] = x_next[i];
        }
      }
      /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
        let at = i * THREADS + thread;
        if (TILE_W * PARTS % THREADS == 0u || at < TILE_W * PARTS) {
          space[buffer + (TILE_X + at / PARTS) * TILE_STRIDE + at % PARTS] = halves(w_next[i]);
        }
      }
      workgroupBarrier();
    }
  }

  let mine = subgroup * SUM_SPACE;
  /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
    workgroupBarrier();
    /* unroll */ for (var j = 0u; j < BLOCKS_W; j++) {
      subgroupMatrixStore<row_major>(&space, mine + j * 4u, sums[i * BLOCKS_W + j], SUM_STRIDE);
    }
    workgroupBarrier();
    for (var turn = 0u; turn < OUT_TURNS; turn++) {
      let at = turn * SUBGROUP + lane;
      let r = at / OUT_COLS;
      let c = at % OUT_COLS;
      let b = first_b + my_x + i * 16u + r;
      let row = first_row + my_w + c;
      if (b < params.batch && row < params.rows) {
        let to = b * params.out_stride + params.out + row;
        let scale = scales[b];
        var sum = scale * sum_at(mine + r * SUM_STRIDE, c);
        if (PAIR) {
          sum = silu(sum) * scale * sum_at(mine + r * SUM_STRIDE, c + OUT_COLS);
        }
        if (params.bias > 0u) {
          sum += vectors[params.bias - 1u + row];
        }
        if (ADD) {
          sum += out[to];
        }
        out[to] = sum;
      }
    }
  }
}
