// The weights of gemm-subgroup-matrix.wgsl in pieces of a quantised format, as f16 in workgroup memory. PAIR: both matrices lie in
// one slab. With: nibbles, and the format as `first`.
const STRIP_PIECES: u32 = STRIP / 32u; // pieces of a weight row in a strip
const W_LOADS: u32 = (TILE_W * STRIP_PIECES + THREADS - 1u) / THREADS;

alias StripWeights = array<Piece_first, W_LOADS>;
alias StripSources = array<u32, W_LOADS>;

// First vectors of rows. Rows past the end load the last row; their products are not stored.
fn sources_of_weights(section: Section, first_row: u32, thread: u32) -> StripSources {
  var sources = StripSources();
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    let row = min(first_row + at / STRIP_PIECES % select(TILE_W, HALF_W, PAIR), section.rows - 1u);
    sources[i] = select(section.first_vector, params.second.first_vector, PAIR && at / STRIP_PIECES >= HALF_W) + row * STRIDE;
  }
  return sources;
}

// The piece of an invocation's i-th load. Past the end the last: x has zeros there.
fn piece_of(i: u32, strip: u32, thread: u32) -> u32 {
  return min(strip * STRIP_PIECES + (i * THREADS + thread) % STRIP_PIECES, PIECES_first - 1u);
}

fn load_weights(sources: StripSources, strip: u32, thread: u32) -> StripWeights {
  var w = StripWeights();
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    w[i] = load_piece_first(sources[i], piece_of(i, strip, thread));
  }
  return w;
}

fn store_weights(w: StripWeights, strip: u32, buffer: u32, thread: u32) {
  /* unroll */ for (var i = 0u; i < W_LOADS; i++) {
    let at = i * THREADS + thread;
    if (TILE_W * STRIP_PIECES % THREADS == 0u || at < TILE_W * STRIP_PIECES) {
      let p = piece_of(i, strip, thread);
      let to = buffer + (TILE_X + at / STRIP_PIECES) * TILE_STRIDE + at % STRIP_PIECES * 4u;
      /* unroll */ for (var v = 0u; v < 4u; v++) {
        let a = four_first(w[i], p, 2u * v);
        let b = four_first(w[i], p, 2u * v + 1u);
        space[to + v] = vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
      }
    }
  }
}
