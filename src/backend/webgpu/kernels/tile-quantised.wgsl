// The weights of gemm.wgsl in pieces of a quantised format: an invocation keeps one of a row for two strips. With: nibbles, and the
// format as `first`.
alias TileWeights = Piece_first;

fn load_weights(before: TileWeights, first_row: u32, strip: u32, thread: u32) -> TileWeights {
  if (strip % 2u == 1u || thread >= TILE_W) {
    return before;
  }
  let row = min(first_row + thread, params.rows - 1u); // products of rows past the end are not stored
  return load_piece_first(params.first_vector + row * STRIDE, strip / 2u);
}

fn store_weights(w: TileWeights, strip: u32, thread: u32) {
  if (thread < TILE_W) {
    /* unroll */ for (var i = 0u; i < 4u; i++) {
      let four = four_first(w, strip / 2u, strip % 2u * 4u + i);
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        w_tile[(4u * i + k) * (TILE_W / 4u) + thread / 4u][thread % 4u] = four[k];
      }
    }
  }
}
