// out[b][row] = W[row] · x[b] for many rows b of x, by tiles in workgroup memory. With: gemm-sizes; act-silu or act-gelu; storage and tile-floats, or
// the files of a quantised format as `first` and tile-quantised.
// A workgroup of 256 computes 64 SIDE_X × 64 SIDE_W outputs, an invocation 4 SIDE_X × 4 SIDE_W of them, over strips of 16
// columns, and prefetches the next strip. At most 16 KiB of workgroup memory.
struct Params {
  first_vector: u32,
  rows: u32,
  out: u32, // column of the first output
  bias: u32, // first element of the bias + 1; 0: none
  batch: u32,
  out_stride: u32,
}
var<uniform> params: Params;
var<storage, read> x: array<vec4f>;
var<storage, read> vectors: array<vec4f>;
var<storage, read_write> out: array<f32>;

var<workgroup> x_tile: array<vec4f, STRIP * TILE_X / 4u>; // [column][row of x]
var<workgroup> w_tile: array<vec4f, STRIP * TILE_W / 4u>; // [column][row of the weight]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  // neighbouring workgroups share the weights, the larger operand
  let first_b = group.x * TILE_X;
  let first_row = group.y * TILE_W;
  let tx = thread % 16u;
  let ty = thread / 16u;
  var sums: array<vec4f, 4u * SIDE_X * SIDE_W> = array<vec4f, 4u * SIDE_X * SIDE_W>();
  var x_next: array<vec4f, X_LOADS> = array<vec4f, X_LOADS>();
  var w_next = TileWeights();
  for (var strip = 0u; strip <= STRIPS; strip++) {
    if (strip > 0u) {
      workgroupBarrier();
      /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
        let at = i * 256u + thread;
        let b = at / 4u;
        /* unroll */ for (var k = 0u; k < 4u; k++) {
          x_tile[((at % 4u) * 4u + k) * (TILE_X / 4u) + b / 4u][b % 4u] = x_next[i][k];
        }
      }
      store_weights(w_next, strip - 1u, thread);
      workgroupBarrier();
    }
    if (strip < STRIPS) {
      /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
        let at = i * 256u + thread;
        let b = first_b + at / 4u;
        let column = strip * 4u + at % 4u;
        x_next[i] = vec4f();
        if (b < params.batch && column < X_STRIDE) {
          x_next[i] = x[b * X_STRIDE + column];
        }
      }
      w_next = load_weights(w_next, first_row, strip, thread);
    }
    if (strip > 0u) {
      for (var k = 0u; k < STRIP; k++) {
        var xs: array<vec4f, SIDE_X> = array<vec4f, SIDE_X>();
        var ws: array<vec4f, SIDE_W> = array<vec4f, SIDE_W>();
        /* unroll */ for (var i = 0u; i < SIDE_X; i++) {
          xs[i] = x_tile[k * (TILE_X / 4u) + i * 16u + ty];
        }
        /* unroll */ for (var j = 0u; j < SIDE_W; j++) {
          ws[j] = w_tile[k * (TILE_W / 4u) + j * 16u + tx];
        }
        /* unroll */ for (var i = 0u; i < SIDE_X; i++) {
          /* unroll */ for (var r = 0u; r < 4u; r++) {
            /* unroll */ for (var j = 0u; j < SIDE_W; j++) {
              sums[(i * 4u + r) * SIDE_W + j] = fma(vec4f(xs[i][r]), ws[j], sums[(i * 4u + r) * SIDE_W + j]);
            }
          }
        }
      }
    }
  }
  /* unroll */ for (var i = 0u; i < 4u * SIDE_X; i++) {
    let b = first_b + (i / 4u) * 64u + ty * 4u + i % 4u;
    /* unroll */ for (var j = 0u; j < 4u * SIDE_W; j++) {
      let row = first_row + (j / 4u) * 64u + tx * 4u + j % 4u;
      if (b < params.batch && row < params.rows) {
        let at = b * params.out_stride + params.out + row;
        var sum = sums[i * SIDE_W + j / 4u][j % 4u];
        if (params.bias > 0u) {
          sum += vectors[(params.bias - 1u + row) / 4u][(params.bias - 1u + row) % 4u];
        }
        if (GATED) {
          sum *= act(out[at]);
        }
        if (ADD) {
          sum += out[at];
        }
        out[at] = sum;
      }
    }
  }
}
