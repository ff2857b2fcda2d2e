// Prelude of attend.wgsl: where a thread group's tokens lie, and the loads of queries, keys, values and scales. With: attend-inputs.
override LANES: u32; // invocations that share a row; a power of two
override TOKENS: u32; // of a thread group in flight; a power of two, at most PAGE_SIZE
const LANE_VECTORS: u32 = (ROW_VECTORS + LANES - 1u) / LANES;

alias QueryElement = vec4f;

// Channels d to d + 3 of the query at `origin`, scaled; zero past its end.
fn load_query(origin: u32, d: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) {
    return select(0f, SCALE, d < HEAD_DIM) * query[(origin + min(d, HEAD_DIM - 4u)) / 4u];
  }
  var q = vec4f();
  /* unroll */ for (var k = 0u; k < 4u; k++) {
    let at = origin + min(d + k, HEAD_DIM - 1u);
    q[k] = select(0f, SCALE, d + k < HEAD_DIM) * query[at / 4u][at % 4u];
  }
  return q;
}

// The largest magnitude of four channels; infinity if one is no finite number.
fn largest_of(q: vec4f) -> f32 {
  let bits = bitcast<vec4u>(q) & vec4u(0x7fffffffu);
  let most = max(max(bits.x, bits.y), max(bits.z, bits.w));
  return bitcast<f32>(min(most, 0x7f800000u));
}

alias Tokens = array<u32, TOKENS>;

// Positions of a thread group's tokens: the split's `first` and those after it; past the end, the last ones, and before the window
// its first, so that no value of another token, which may be NaN, meets a weight of 0.
fn positions_of(first: u32, list: u32, begin: u32, size: u32, hidden: u32) -> Tokens {
  var positions = Tokens();
  if (SELECTED) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      positions[t] = indices[list + begin + min(first + t, max(size, 1u) - 1u)];
    }
  } else {
    // all in one page: splits and turns are multiples of TOKENS
    let at = min(first, (max(size, 1u) - 1u) / TOKENS * TOKENS);
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      positions[t] = begin + min(at + t, max(size, 1u) - 1u);
      if (WINDOWED) {
        positions[t] = max(positions[t], begin + hidden);
      }
    }
  }
  return positions;
}

// Where each key and value starts for this invocation (start_at).
fn starts_of(positions: Tokens, table: u32, kv_head: u32, lane: u32) -> Tokens {
  var starts = Tokens();
  if (SELECTED) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      starts[t] = start_at(cache_place(step[table + positions[t] / PAGE_SIZE], kv_head, positions[t] % PAGE_SIZE), lane);
    }
  } else {
    let page = start_at(cache_place(step[table + positions[0] / PAGE_SIZE], kv_head, 0u), lane);
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      starts[t] = page + positions[t] % PAGE_SIZE * START_STRIDE;
    }
  }
  return starts;
}

alias Rows = array<CacheVector, TOKENS * LANE_VECTORS>;
alias Scales = array<vec2f, TOKENS>;

fn load_keys(starts: Tokens, lane: u32) -> Rows {
  var rows = Rows();
  /* unroll */ for (var t = 0u; t < TOKENS; t++) {
    /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
      if (ROW_VECTORS % LANES == 0u || j * LANES + lane < ROW_VECTORS) {
        rows[t * LANE_VECTORS + j] = keys[key_at(starts[t], lane) + j * LANES];
      }
    }
  }
  return rows;
}

fn load_values(starts: Tokens, lane: u32) -> Rows {
  var rows = Rows();
  if (!ONLY_SCORES) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
        if (ROW_VECTORS % LANES == 0u || j * LANES + lane < ROW_VECTORS) {
          rows[t * LANE_VECTORS + j] = values[value_at(starts[t], lane) + j * LANES];
        }
      }
    }
  }
  return rows;
}

fn load_scales(starts: Tokens) -> Scales {
  var scales = Scales();
  if (IS_SCALED) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      scales[t] = scales_in(keys[scales_at(starts[t])]);
    }
  }
  return scales;
}

// True for a token of a split that its row sees: the i-th, of which `hidden` are before the window.
fn is_seen(i: u32, size: u32, hidden: u32) -> bool {
  if (WINDOWED) {
    return i < size && i >= hidden;
  }
  return i < size;
}
