// Prelude: products of weight rows with up to BATCH rows of x. With: storage, shuffle, sections. A thread group of LANES invocations takes
// GROUP_ROWS rows, ROWS at a time, an invocation LANE_VECTORS vectors of each. All loads of a turn are in flight together; those
// of the next turn are issued before the sums of this one are reduced. x stays in registers if it fits. Each reduce group
// leaves its sums in workgroup memory, where the rest is added up. The kernel defines where rows are: row_start, is_of_partner.
override THREADS: u32;
override LANES: u32; // a multiple of REDUCE_LANES
override ROWS: u32; // a power of two
override TURNS: u32;
override BATCH: u32; // a power of two
override STRIDE: u32; // vectors of a weight row
override X_STRIDE: u32; // vec4s of a row of x
override COLS: u32;
override NORM: bool; // RMS norm of x: x / rms(x) * norm
override KEEP_X: bool;
override EPS: f32;
const LANE_VECTORS: u32 = (STRIDE + LANES - 1u) / LANES;
const IS_WHOLE: bool = LANE_VECTORS * LANES == STRIDE;
const THREAD_GROUPS: u32 = THREADS / LANES;
const GROUP_ROWS: u32 = ROWS * TURNS;
const SUMS: u32 = ROWS * BATCH; // of a turn; row r, x b: [r * BATCH + b]
const OWN: u32 = max(SUMS / REDUCE_LANES, 1u); // sums that an invocation keeps
const KEEPERS: u32 = max(REDUCE_LANES / SUMS, 1u); // invocations that keep the same sums
const REDUCE_GROUPS: u32 = LANES / REDUCE_LANES; // of a thread group
const SPACE: u32 = GROUP_ROWS * BATCH + BATCH; // sums of a reduce group, then its squares

var<storage, read> weights: array<vec4u>;
var<storage, read> x: array<vec4f>;
var<storage, read> partner: array<vec4u>; // slab of the second matrix

var<workgroup> sum_space: array<f32, THREADS / REDUCE_LANES * SPACE>;

alias Weights = array<vec4u, ROWS * LANE_VECTORS>;

fn load_rows(section: Section, block: u32, turn: u32, lane: u32) -> Weights {
  var w = Weights();
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    let start = row_start(section, block, turn * ROWS + r);
    /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
      var vector = lane + j * LANES;
      if (!IS_WHOLE) {
        vector = min(vector, STRIDE - 1u);
      }
      if (is_of_partner(r)) {
        w[r * LANE_VECTORS + j] = partner[start + vector];
      } else {
        w[r * LANE_VECTORS + j] = weights[start + vector];
      }
    }
  }
  return w;
}

// The i-th vec4 of the invocation's j-th vector of row b of x; zero past the row.
fn load_x(b: u32, j: u32, i: u32, lane: u32) -> vec4f {
  var at = (lane + j * LANES) * VECTOR_VEC4S + i;
  var kept = 1f;
  if (!IS_WHOLE) {
    kept = select(0f, 1f, lane + j * LANES < STRIDE);
    at = min(at, STRIDE * VECTOR_VEC4S - 1u);
  }
  return kept * x[b * X_STRIDE + at];
}

// Multiplies that vec4 by its norm weights; the scale of the row comes later.
fn normed(value: vec4f, j: u32, i: u32, norm: u32, lane: u32) -> vec4f {
  if (!NORM) {
    return value;
  }
  return value * vectors[norm + min((lane + j * LANES) * VECTOR_VEC4S + i, STRIDE * VECTOR_VEC4S - 1u)];
}

// Leaves the sums of the thread group's rows in sum_space. norm: first vec4 of the norm weights. Every invocation must call it and
// pass a barrier before it reads.
fn stream(section: Section, block: u32, norm: u32, thread: u32) {
  let lane = thread % LANES;
  let reduce_group = thread / REDUCE_LANES;
  var w = load_rows(section, block, 0u, lane);
  var xs: array<vec4f, select(1u, BATCH * LANE_VECTORS * VECTOR_VEC4S, KEEP_X)>;
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  if (KEEP_X || NORM) {
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
        /* unroll */ for (var i = 0u; i < VECTOR_VEC4S; i++) {
          let value = load_x(b, j, i, lane);
          squares[b] = fma4(value, value, squares[b]);
          if (KEEP_X) {
            xs[min((b * LANE_VECTORS + j) * VECTOR_VEC4S + i, select(0u, BATCH * LANE_VECTORS * VECTOR_VEC4S - 1u, KEEP_X))] =
              normed(value, j, i, norm, lane);
          }
        }
      }
    }
  }
  for (var turn = 0u; turn < TURNS; turn++) {
    var sums: array<f32, SUMS> = array<f32, SUMS>();
    /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
      /* unroll */ for (var i = 0u; i < VECTOR_VEC4S; i++) {
        /* unroll */ for (var b = 0u; b < BATCH; b++) {
          var a = vec4f();
          if (KEEP_X) {
            a = xs[min((b * LANE_VECTORS + j) * VECTOR_VEC4S + i, select(0u, BATCH * LANE_VECTORS * VECTOR_VEC4S - 1u, KEEP_X))];
          } else {
            a = normed(load_x(b, j, i, lane), j, i, norm, lane);
          }
          /* unroll */ for (var r = 0u; r < ROWS; r++) {
            if (i == 0u) {
              sums[r * BATCH + b] = fma4(low(w[r * LANE_VECTORS + j]), a, sums[r * BATCH + b]);
            } else {
              sums[r * BATCH + b] = fma4(high(w[r * LANE_VECTORS + j]), a, sums[r * BATCH + b]);
            }
          }
        }
      }
    }
    if (turn + 1u < TURNS) {
      w = load_rows(section, block, turn + 1u, lane);
    }
    // Butterfly reduction: in each round an invocation keeps half of its sums and passes the others on, until it keeps OWN.
    /* unroll */ for (var round = 0u; round < 7u; round++) {
      const width = REDUCE_LANES >> (round + 1u);
      const kept = SUMS >> (round + 1u);
      if (width > 0u) {
        if (kept > 0u) {
          let is_upper = (thread & width) != 0u;
          /* unroll */ for (var i = 0u; i < SUMS / 2u; i++) {
            if (i < kept) {
              const other = min(i + kept, SUMS - 1u);
              let mine = select(sums[i], sums[other], is_upper);
              let given = select(sums[other], sums[i], is_upper);
              sums[i] = mine + shuffle_xor(given, max(width, 1u));
            }
          }
        } else {
          sums[0] += shuffle_xor(sums[0], max(width, 1u));
        }
      }
    }
    if (thread % KEEPERS == 0u) {
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        sum_space[reduce_group * SPACE + turn * SUMS + thread % REDUCE_LANES / KEEPERS * OWN + o] = sums[o];
      }
    }
  }
  if (NORM) {
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      var sum = squares[b];
      /* unroll */ for (var round = 0u; round < 7u; round++) {
        const width = REDUCE_LANES >> (round + 1u);
        if (width > 0u) {
          sum += shuffle_xor(sum, max(width, 1u));
        }
      }
      if (thread % REDUCE_LANES == 0u) {
        sum_space[reduce_group * SPACE + GROUP_ROWS * BATCH + b] = sum;
      }
    }
  }
}

fn sum_of(thread_group: u32, i: u32) -> f32 {
  var sum = 0f;
  /* unroll */ for (var reduce_group = 0u; reduce_group < REDUCE_GROUPS; reduce_group++) {
    sum += sum_space[(thread_group * REDUCE_GROUPS + reduce_group) * SPACE + i];
  }
  return sum;
}

// The factor of the thread group's products with x[b].
fn scale_of(thread_group: u32, b: u32) -> f32 {
  if (!NORM) {
    return 1f;
  }
  return inverseSqrt(sum_of(thread_group, GROUP_ROWS * BATCH + b) / f32(COLS) + EPS);
}

fn product_of(thread_group: u32, row: u32, b: u32) -> f32 {
  return sum_of(thread_group, row * BATCH + b);
}
