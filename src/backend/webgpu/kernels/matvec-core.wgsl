// Prelude: products of ROWS weight rows with up to BATCH rows of x, by a team of LANES invocations. With: storage, reduce.
// Reads the weights once; the loads of a turn (UNROLL steps of ROWS rows) are all in flight before the first is used.
const ROWS: u32 = 4u;
const BATCH: u32 = 1u;
const UNROLL: u32 = 1u;
const STRIDE: u32 = 1u; // pieces of a weight row
const X_STRIDE: u32 = 1u; // vec4s of a row of x
const COLS: u32 = 4u;
const NORM: bool = false; // x is normed on the way: x / rms(x) * norm
const PAIR: bool = false; // the second half of the rows are of another matrix
const EPS: f32 = 1e-6;
const TEAMS: u32 = THREADS / LANES;
const TURN: u32 = LANES * UNROLL;
const TURNS: u32 = (STRIDE + TURN - 1u) / TURN;
const IS_WHOLE: bool = TURNS * TURN == STRIDE;

struct Section {
  piece: u32, // first piece of the matrix
  rows: u32,
  out: u32, // where its outputs begin
  bias: u32, // first element of the bias + 1; 0: none
}
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(4) var<storage, read> partner: array<vec4u>; // where the second half of the rows lies, where PAIR

alias Products = array<f32, ROWS * BATCH>; // row r, x b: [r * BATCH + b]

fn bias_of(section: Section, row: u32) -> f32 {
  let at = section.bias - 1u + row;
  return vectors[at / 4u][at % 4u];
}

// starts: first piece of each row. norm: first vec4 of the norm weights. Every invocation must call it.
fn products(starts: array<u32, ROWS>, norm: u32, thread: u32) -> Products {
  let lane = thread % LANES;
  var sums: Products = Products();
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  for (var turn = 0u; turn < TURNS; turn++) {
    let origin = turn * TURN + lane;
    var w: array<vec4u, ROWS * UNROLL> = array<vec4u, ROWS * UNROLL>();
    /* unroll */ for (var u = 0u; u < UNROLL; u++) {
      var piece = origin + u * LANES;
      if (!IS_WHOLE) {
        piece = min(piece, STRIDE - 1u);
      }
      /* unroll */ for (var r = 0u; r < ROWS; r++) {
        if (PAIR && r >= ROWS / 2u) {
          w[u * ROWS + r] = partner[starts[r] + piece];
        } else {
          w[u * ROWS + r] = weights[starts[r] + piece];
        }
      }
    }
    /* unroll */ for (var u = 0u; u < UNROLL; u++) {
      var piece = origin + u * LANES;
      var kept = 1f;
      if (!IS_WHOLE) {
        kept = select(0f, 1f, piece < STRIDE);
        piece = min(piece, STRIDE - 1u);
      }
      /* unroll */ for (var b = 0u; b < BATCH; b++) {
        let at = b * X_STRIDE + piece * PIECE4;
        var a = x[at];
        if (!IS_WHOLE) {
          a *= kept;
        }
        if (NORM) {
          squares[b] = fma4(a, a, squares[b]);
          a *= vectors[norm + piece * PIECE4];
        }
        /* unroll */ for (var r = 0u; r < ROWS; r++) {
          sums[r * BATCH + b] = fma4(low(w[u * ROWS + r]), a, sums[r * BATCH + b]);
        }
        if (PIECE == 8u) {
          var c = x[at + 1u];
          if (!IS_WHOLE) {
            c *= kept;
          }
          if (NORM) {
            squares[b] = fma4(c, c, squares[b]);
            c *= vectors[norm + piece * PIECE4 + 1u];
          }
          /* unroll */ for (var r = 0u; r < ROWS; r++) {
            sums[r * BATCH + b] = fma4(high(w[u * ROWS + r]), c, sums[r * BATCH + b]);
          }
        }
      }
    }
  }
  /* unroll */ for (var b = 0u; b < BATCH; b++) {
    var scale = 1f;
    if (NORM) {
      scale = inverseSqrt(team_sum(vec4f(squares[b]), thread).x / f32(COLS) + EPS);
    }
    /* unroll */ for (var r4 = 0u; r4 < (ROWS + 3u) / 4u; r4++) {
      const r = 4u * r4;
      var part = vec4f();
      /* unroll */ for (var i = 0u; i < min(ROWS, 4u); i++) {
        part[i] = sums[(r + i) * BATCH + b];
      }
      let total = scale * team_sum(part, thread);
      /* unroll */ for (var i = 0u; i < min(ROWS, 4u); i++) {
        sums[(r + i) * BATCH + b] = total[i];
      }
    }
  }
  return sums;
}
