// The weights of gemm.wgsl as floats. With: storage.
const STRIP_VECTORS: u32 = 16u / VECTOR_ELEMENTS; // vectors of a weight row in a strip
const W_LOADS: u32 = max(TILE_W * STRIP_VECTORS / 256u, 1u);
var<storage, read> weights_first: array<vec4u>;

alias TileWeights = array<vec4u, W_LOADS>;

fn load_weights(before: TileWeights, first_row: u32, strip: u32, thread: u32) -> TileWeights {
  var w = TileWeights();
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * 256u + thread;
    let row = first_row + at / STRIP_VECTORS;
    let vector = strip * STRIP_VECTORS + at % STRIP_VECTORS;
    w[i] = vec4u();
    if (row < params.rows && vector < STRIDE) {
      w[i] = weights_first[params.first_vector + row * STRIDE + vector];
    }
  }
  return w;
}

fn store_weights(w: TileWeights, strip: u32, thread: u32) {
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * 256u + thread;
    let row = at / STRIP_VECTORS;
    if (row < TILE_W) {
      let column = (at % STRIP_VECTORS) * VECTOR_ELEMENTS;
      let a = low(w[i]);
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        w_tile[(column + k) * (TILE_W / 4u) + row / 4u][row % 4u] = a[k];
      }
      if (VECTOR_ELEMENTS == 8u) {
        let c = high(w[i]);
        /* unroll */ for (var k = 0u; k < 4u; k++) {
          w_tile[(column + VECTOR_ELEMENTS - 4u + k) * (TILE_W / 4u) + row / 4u][row % 4u] = c[k];
        }
      }
    }
  }
}
