// Prelude: products of weight rows with up to BATCH rows of x. With: storage, fold.
// A team of LANES invocations takes TEAM_ROWS rows, ROWS at a time, each invocation PIECES pieces of each. All loads of a
// turn are in flight together, those of the next turn before the sums of this one are brought together; x stays in
// registers where it fits. The sums of each fold of invocations go into workgroup memory, where the rest is added up.
// A kernel says where the rows are: row_start, is_of_partner.
override THREADS: u32;
override LANES: u32; // a multiple of FOLD
override ROWS: u32; // a power of two
override TURNS: u32;
override BATCH: u32; // a power of two
override STRIDE: u32; // pieces of a weight row
override X_STRIDE: u32; // vec4s of a row of x
override COLS: u32;
override NORM: bool; // x is normed on the way: x / rms(x) * norm
override KEEP_X: bool;
override EPS: f32;
const PIECES: u32 = (STRIDE + LANES - 1u) / LANES;
const IS_WHOLE: bool = PIECES * LANES == STRIDE;
const TEAMS: u32 = THREADS / LANES;
const TEAM_ROWS: u32 = ROWS * TURNS;
const SUMS: u32 = ROWS * BATCH; // of a turn; row r, x b: [r * BATCH + b]
const OWN: u32 = max(SUMS / FOLD, 1u); // sums that an invocation is left with
const KEEPERS: u32 = max(FOLD / SUMS, 1u); // invocations that are left with the same
const FOLDS: u32 = LANES / FOLD; // of a team
const SPACE: u32 = TEAM_ROWS * BATCH + BATCH; // sums of a fold, then its squares

struct Section {
  piece: u32, // first piece of the matrix
  rows: u32,
  out: u32, // where its outputs begin
  bias: u32, // first element of the bias + 1; 0: none
}
// Where a team works.
struct Place {
  section: Section,
  block: u32, // of the section
}
var<storage, read> weights: array<vec4u>;
var<storage, read> x: array<vec4f>;
var<storage, read> vectors: array<vec4f>;
var<storage, read> partner: array<vec4u>; // where rows of a second matrix lie

var<workgroup> sum_space: array<f32, THREADS / FOLD * SPACE>;

alias Weights = array<vec4u, ROWS * PIECES>;

// Sections are stacked, each whole blocks of `outputs` rows; those without rows are not there.
fn place_of(block: u32, outputs: u32, first: Section, second: Section, third: Section) -> Place {
  var place = Place(first, block);
  let first_blocks = (first.rows + outputs - 1u) / outputs;
  if (block >= first_blocks && second.rows > 0u) {
    place = Place(second, block - first_blocks);
    let second_blocks = (second.rows + outputs - 1u) / outputs;
    if (place.block >= second_blocks && third.rows > 0u) {
      place = Place(third, place.block - second_blocks);
    }
  }
  return place;
}

fn bias_of(section: Section, row: u32) -> f32 {
  let at = section.bias - 1u + row;
  return vectors[at / 4u][at % 4u];
}

fn load_rows(section: Section, block: u32, turn: u32, lane: u32) -> Weights {
  var w = Weights();
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    let start = row_start(section, block, turn * ROWS + r);
    /* unroll */ for (var j = 0u; j < PIECES; j++) {
      var piece = lane + j * LANES;
      if (!IS_WHOLE) {
        piece = min(piece, STRIDE - 1u);
      }
      if (is_of_partner(r)) {
        w[r * PIECES + j] = partner[start + piece];
      } else {
        w[r * PIECES + j] = weights[start + piece];
      }
    }
  }
  return w;
}

// The i-th vec4 of an invocation's piece j of row b of x; zero past the row.
fn load_x(b: u32, j: u32, i: u32, lane: u32) -> vec4f {
  var at = (lane + j * LANES) * PIECE4 + i;
  var kept = 1f;
  if (!IS_WHOLE) {
    kept = select(0f, 1f, lane + j * LANES < STRIDE);
    at = min(at, STRIDE * PIECE4 - 1u);
  }
  return kept * x[b * X_STRIDE + at];
}

// The same, normed but for the scale.
fn normed(value: vec4f, j: u32, i: u32, norm: u32, lane: u32) -> vec4f {
  if (!NORM) {
    return value;
  }
  return value * vectors[norm + min((lane + j * LANES) * PIECE4 + i, STRIDE * PIECE4 - 1u)];
}

// Leaves the sums of the team's rows in sum_space. norm: first vec4 of the norm weights. Every invocation must call it,
// and meet at a barrier before it reads.
fn stream(section: Section, block: u32, norm: u32, thread: u32) {
  let lane = thread % LANES;
  let fold = thread / FOLD;
  var w = load_rows(section, block, 0u, lane);
  var xs: array<vec4f, select(1u, BATCH * PIECES * PIECE4, KEEP_X)>;
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  if (KEEP_X || NORM) {
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      /* unroll */ for (var j = 0u; j < PIECES; j++) {
        /* unroll */ for (var i = 0u; i < PIECE4; i++) {
          let value = load_x(b, j, i, lane);
          squares[b] = fma4(value, value, squares[b]);
          if (KEEP_X) {
            xs[min((b * PIECES + j) * PIECE4 + i, select(0u, BATCH * PIECES * PIECE4 - 1u, KEEP_X))] =
              normed(value, j, i, norm, lane);
          }
        }
      }
    }
  }
  for (var turn = 0u; turn < TURNS; turn++) {
    var sums: array<f32, SUMS> = array<f32, SUMS>();
    /* unroll */ for (var j = 0u; j < PIECES; j++) {
      /* unroll */ for (var i = 0u; i < PIECE4; i++) {
        /* unroll */ for (var b = 0u; b < BATCH; b++) {
          var a = vec4f();
          if (KEEP_X) {
            a = xs[min((b * PIECES + j) * PIECE4 + i, select(0u, BATCH * PIECES * PIECE4 - 1u, KEEP_X))];
          } else {
            a = normed(load_x(b, j, i, lane), j, i, norm, lane);
          }
          /* unroll */ for (var r = 0u; r < ROWS; r++) {
            if (i == 0u) {
              sums[r * BATCH + b] = fma4(low(w[r * PIECES + j]), a, sums[r * BATCH + b]);
            } else {
              sums[r * BATCH + b] = fma4(high(w[r * PIECES + j]), a, sums[r * BATCH + b]);
            }
          }
        }
      }
    }
    if (turn + 1u < TURNS) {
      w = load_rows(section, block, turn + 1u, lane);
    }
    // In each round an invocation keeps half of its sums and hands the others over, until it is left with OWN.
    /* unroll */ for (var round = 0u; round < 7u; round++) {
      const width = FOLD >> (round + 1u);
      const kept = SUMS >> (round + 1u);
      if (width > 0u) {
        if (kept > 0u) {
          let is_upper = (thread & width) != 0u;
          /* unroll */ for (var i = 0u; i < SUMS / 2u; i++) {
            if (i < kept) {
              const other = min(i + kept, SUMS - 1u);
              let mine = select(sums[i], sums[other], is_upper);
              let given = select(sums[other], sums[i], is_upper);
              sums[i] = mine + of_other(given, max(width, 1u));
            }
          }
        } else {
          sums[0] += of_other(sums[0], max(width, 1u));
        }
      }
    }
    if (thread % KEEPERS == 0u) {
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        sum_space[fold * SPACE + turn * SUMS + thread % FOLD / KEEPERS * OWN + o] = sums[o];
      }
    }
  }
  if (NORM) {
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      var sum = squares[b];
      /* unroll */ for (var round = 0u; round < 7u; round++) {
        const width = FOLD >> (round + 1u);
        if (width > 0u) {
          sum += of_other(sum, max(width, 1u));
        }
      }
      if (thread % FOLD == 0u) {
        sum_space[fold * SPACE + TEAM_ROWS * BATCH + b] = sum;
      }
    }
  }
}

fn sum_of(team: u32, i: u32) -> f32 {
  var sum = 0f;
  /* unroll */ for (var fold = 0u; fold < FOLDS; fold++) {
    sum += sum_space[(team * FOLDS + fold) * SPACE + i];
  }
  return sum;
}

// What the team's products with x[b] are to be multiplied by.
fn scale_of(team: u32, b: u32) -> f32 {
  if (!NORM) {
    return 1f;
  }
  return inverseSqrt(sum_of(team, TEAM_ROWS * BATCH + b) / f32(COLS) + EPS);
}

fn product_of(team: u32, row: u32, b: u32) -> f32 {
  return sum_of(team, row * BATCH + b);
}
