// The weights of gemm-subgroup-matrix.wgsl as floats of 16 bits. With: storage.
const W_LOADS: u32 = (TILE_W * STRIP_VECTORS + THREADS - 1u) / THREADS;
var<storage, read> weights_first: array<vec4u>;
var<storage, read> partner: array<vec4u>; // slab of the second matrix if PAIR

alias StripWeights = array<vec4u, W_LOADS>;
alias StripSources = array<u32, W_LOADS>;

// Eight elements of a weight as f16.
fn halves(vector: vec4u) -> vec4u {
  if (DTYPE == 2u) {
    let a = low(vector);
    let b = high(vector);
    return vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
  }
  return vector;
}

// rows past the end load the last row; their products are not stored
fn sources_of_weights(section: Section, first_row: u32, thread: u32) -> StripSources {
  var sources = StripSources();
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    let row = min(first_row + at / STRIP_VECTORS % select(TILE_W, HALF_W, PAIR), section.rows - 1u);
    sources[i] = select(section.first_vector, params.second.first_vector, PAIR && at / STRIP_VECTORS >= HALF_W) + row * STRIDE + at % STRIP_VECTORS;
  }
  return sources;
}

fn load_weights(sources: StripSources, strip: u32, thread: u32) -> StripWeights {
  var w = StripWeights();
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    var source = sources[i] + strip * STRIP_VECTORS;
    if (STRIDE % STRIP_VECTORS != 0u) {
      source -= max(strip * STRIP_VECTORS + at % STRIP_VECTORS, STRIDE - 1u) - (STRIDE - 1u); // x has zeros there
    }
    if (PAIR && at / STRIP_VECTORS >= HALF_W) {
      w[i] = partner[source];
    } else {
      w[i] = weights_first[source];
    }
  }
  return w;
}

fn store_weights(w: StripWeights, strip: u32, buffer: u32, thread: u32) {
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    if (TILE_W * STRIP_VECTORS % THREADS == 0u || at < TILE_W * STRIP_VECTORS) {
      space[buffer + (TILE_X + at / STRIP_VECTORS) * TILE_STRIDE + at % STRIP_VECTORS] = halves(w[i]);
    }
  }
}
