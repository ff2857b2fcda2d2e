// out[b][row] = W[row] · x[b] for many rows b of x, with subgroup matrices: f16 × f16 to f32. With:
// subgroup-matrix, sections, strip-sizes, act-silu or act-gelu, and storage with strip-floats or the files of a quantised format as
// `first` with strip-quantised. A workgroup computes TILE_X × TILE_W outputs over strips of STRIP columns. Each of its SPLIT_X ×
// SPLIT_W subgroups accumulates a block of them; with SPLIT_K > 1, that many subgroups share the columns of a block. Registers
// prefetch the next DEPTH strips; with two BUFFERS the next strip is stored beside the current one, so that subgroups seldom wait
// for each other. With SLICES > 1, as many workgroups share the columns: each stores sums of its own, which sum-slices.wgsl adds.
struct Params {
  first: Section, // matrices stacked; unused ones have no rows
  second: Section, // if PAIR, the partner
  third: Section,
  batch: u32,
  out_stride: u32,
  slice_stride: u32, // elements from the sums of a slice to those of the next
}
var<uniform> params: Params;
var<storage, read> x: array<vec4u>; // f16
var<storage, read> scales: array<f32>; // of each row of x
var<storage, read_write> out: array<f32>;

var<workgroup> space: array<vec4u, SPACE>;

// An output of a block, from the row of blocks that its subgroups stored.
fn sum_of(block: u32, row: u32, column: u32) -> f32 {
  var sum = 0f;
  /* unroll */ for (var k = 0u; k < SPLIT_K; k++) {
    sum += bitcast<f32>(space[(k * BLOCKS + block) * SUM_SPACE + row * SUM_STRIDE + column / 4u][column % 4u]);
  }
  return sum;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  // neighbouring workgroups share the weights
  let first_b = group.x * TILE_X;
  var place = Place(params.first, group.y);
  if (!PAIR) {
    place = place_of(group.y, TILE_W, params.first, params.second, params.third);
  }
  let section = place.section;
  let first_row = place.block * select(TILE_W, HALF_W, PAIR);
  let first_strip = group.z * SLICE_STRIPS;
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let block = subgroup % BLOCKS;
  let my_k = subgroup / BLOCKS;
  let my_x = block / SPLIT_W * (BLOCKS_X * MATRIX_M); // of the tile
  let my_w = block % SPLIT_W * (OUT_BLOCKS * MATRIX_N);
  var sums: array<ResultMatrix, BLOCKS_X * BLOCKS_W>;

  // rows past the end load the last row; their products are not stored
  var x_source: array<u32, X_LOADS> = array<u32, X_LOADS>();
  let w_source = sources_of_weights(section, first_row, thread);
  /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
    let at = i * THREADS + thread;
    x_source[i] = min(first_b + at / STRIP_VECTORS, params.batch - 1u) * X_STRIDE + at % STRIP_VECTORS;
  }

  var x_next: array<vec4u, DEPTH * X_LOADS> = array<vec4u, DEPTH * X_LOADS>();
  var w_next: array<StripWeights, DEPTH> = array<StripWeights, DEPTH>();
  for (var first = 0u; first < SLICE_STRIPS + DEPTH; first += DEPTH) {
    /* unroll */ for (var d = 0u; d < DEPTH; d++) {
      // strip is prefetched while strip - DEPTH is multiplied
      let strip = first + d;
      let buffer = strip % BUFFERS * BUFFER;
      let is_used = strip >= DEPTH && strip < SLICE_STRIPS + DEPTH;
      if (is_used) {
        if (BUFFERS == 1u) {
          workgroupBarrier();
        }
        /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
          let at = i * THREADS + thread;
          if (TILE_X * STRIP_VECTORS % THREADS == 0u || at < TILE_X * STRIP_VECTORS) {
            space[buffer + at / STRIP_VECTORS * TILE_STRIDE + at % STRIP_VECTORS] = x_next[d * X_LOADS + i];
          }
        }
        store_weights(w_next[d], first_strip + strip - DEPTH, buffer, thread);
        workgroupBarrier();
      }
      if (strip < SLICE_STRIPS) {
        /* unroll */ for (var i = 0u; i < X_LOADS; i++) {
          x_next[d * X_LOADS + i] = x[x_source[i] + (first_strip + strip) * STRIP_VECTORS];
        }
        w_next[d] = load_weights(w_source, first_strip + strip, thread);
      }
      if (is_used) {
        /* unroll */ for (var step_ = 0u; step_ < STRIP / MATRIX_K / SPLIT_K; step_++) {
          let k = step_ * SPLIT_K + my_k;
          var left: array<LeftMatrix, BLOCKS_X>;
          /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
            left[i] = subgroupMatrixLoad<LeftMatrix, row_major>(
              &space, buffer + (my_x + i * MATRIX_M) * TILE_STRIDE + k * K_VECTORS, TILE_STRIDE);
          }
          /* unroll */ for (var j = 0u; j < BLOCKS_W; j++) {
            let row = TILE_X + my_w + select(j * MATRIX_N, j / OUT_BLOCKS * HALF_W + j % OUT_BLOCKS * MATRIX_N, PAIR);
            let right = subgroupMatrixLoad<RightMatrix, col_major>(
              &space, buffer + row * TILE_STRIDE + k * K_VECTORS, TILE_STRIDE);
            /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
              sums[i * BLOCKS_W + j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i * BLOCKS_W + j]);
            }
          }
        }
      }
    }
  }

  /* unroll */ for (var i = 0u; i < BLOCKS_X; i++) {
    workgroupBarrier();
    /* unroll */ for (var j = 0u; j < BLOCKS_W; j++) {
      subgroupMatrixStore<row_major>(
        &space, subgroup * SUM_SPACE + j * BLOCK_FOURS, sums[i * BLOCKS_W + j], SUM_STRIDE);
    }
    workgroupBarrier();
    for (var turn = 0u; turn < OUT_TURNS; turn++) {
      let at = (turn * SPLIT_K + my_k) * SUBGROUP + lane;
      let r = at / OUT_COLS;
      let c = at % OUT_COLS;
      let b = first_b + my_x + i * MATRIX_M + r;
      let row = first_row + my_w + c;
      if (b < params.batch && row < section.rows) {
        let to = group.z * params.slice_stride + b * params.out_stride + section.out + row;
        let scale = scales[b];
        var sum = scale * sum_of(block, r, c);
        if (PAIR) {
          sum = act(sum) * scale * sum_of(block, r, c + OUT_COLS);
        }
        if (section.bias > 0u && first_strip == 0u) {
          sum += bias_of(section, row);
        }
        if (GATED) {
          sum *= act(out[to]);
        }
        if (ADD) {
          sum += out[to];
        }
        out[to] = sum;
      }
    }
  }
}
