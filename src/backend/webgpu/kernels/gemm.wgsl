// out[b][row] = W[row] · x[b] for many rows b of x: tiles in workgroup memory. With: storage.
// A workgroup of 256 makes TILE × TILE outputs, each invocation SIDE × SIDE of them, over strips of 16 columns.
const SIDE: u32 = 4u; // 4 or 8
const TILE: u32 = 16u * SIDE;
const STRIP: u32 = 16u;
const STRIDE: u32 = 1u; // pieces of a weight row
const X_STRIDE: u32 = 1u; // vec4s of a row of x
const PAIR: bool = false; // out = silu(out) * this matrix: the partner's product stands in out
const ADD: bool = false;

struct Params {
  piece: u32,
  rows: u32,
  out: u32, // column of the first output
  bias: u32, // first element of the bias + 1; 0: none
  batch: u32,
  out_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

var<workgroup> x_tile: array<array<f32, TILE>, STRIP>;
var<workgroup> w_tile: array<array<f32, TILE>, STRIP>;

fn silu(v: f32) -> f32 {
  return v / (1f + exp(-v));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first_row = group.x * TILE;
  let first_b = group.y * TILE;
  let tx = thread % 16u;
  let ty = thread / 16u;
  var sums: array<f32, SIDE * SIDE> = array<f32, SIDE * SIDE>();
  for (var strip = 0u; strip * STRIP < STRIDE * PIECE; strip++) {
    for (var i = thread; i < TILE * STRIP / 4u; i += 256u) {
      let b = i / (STRIP / 4u);
      let part = i % (STRIP / 4u);
      var value = vec4f();
      if (first_b + b < params.batch && strip * (STRIP / 4u) + part < STRIDE * PIECE4) {
        value = x[(first_b + b) * X_STRIDE + strip * (STRIP / 4u) + part];
      }
      for (var k = 0u; k < 4u; k++) {
        x_tile[part * 4u + k][b] = value[k];
      }
    }
    for (var i = thread; i < TILE * STRIP / PIECE; i += 256u) {
      let row = i / (STRIP / PIECE);
      let part = i % (STRIP / PIECE);
      let piece = strip * (STRIP / PIECE) + part;
      var bits = vec4u();
      if (first_row + row < params.rows && piece < STRIDE) {
        bits = weights[params.piece + (first_row + row) * STRIDE + piece];
      }
      let a = low(bits);
      for (var k = 0u; k < 4u; k++) {
        w_tile[part * PIECE + k][row] = a[k];
      }
      if (PIECE == 8u) {
        let c = high(bits);
        for (var k = 0u; k < 4u; k++) {
          w_tile[part * PIECE + 4u + k][row] = c[k];
        }
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < STRIP; k++) {
      var xs: array<f32, SIDE> = array<f32, SIDE>();
      var ws: array<f32, SIDE> = array<f32, SIDE>();
      /* unroll */ for (var i = 0u; i < SIDE; i++) {
        xs[i] = x_tile[k][(i / 4u) * 64u + ty * 4u + i % 4u];
        ws[i] = w_tile[k][(i / 4u) * 64u + tx * 4u + i % 4u];
      }
      /* unroll */ for (var i = 0u; i < SIDE; i++) {
        /* unroll */ for (var j = 0u; j < SIDE; j++) {
          sums[i * SIDE + j] = fma(xs[i], ws[j], sums[i * SIDE + j]);
        }
      }
    }
    workgroupBarrier();
  }
  /* unroll */ for (var i = 0u; i < SIDE; i++) {
    let b = first_b + (i / 4u) * 64u + ty * 4u + i % 4u;
    /* unroll */ for (var j = 0u; j < SIDE; j++) {
      let row = first_row + (j / 4u) * 64u + tx * 4u + j % 4u;
      if (b < params.batch && row < params.rows) {
        let at = b * params.out_stride + params.out + row;
        var sum = sums[i * SIDE + j];
        if (params.bias > 0u) {
          sum += vectors[(params.bias - 1u + row) / 4u][(params.bias - 1u + row) % 4u];
        }
        if (PAIR) {
          sum *= silu(out[at]);
        }
        if (ADD) {
          sum += out[at];
        }
        out[at] = sum;
      }
    }
  }
}
