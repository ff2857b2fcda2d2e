// out[b][row] = W[row] · x[b] for few rows b of x, quantised weights of one format. With: shuffle, sections, quants, act-silu or act-gelu, and the files of
// the format as `first`. The workgroup takes ROWS × TURNS rows of each of its reduce groups, and brings x to digits in
// workgroup memory, STRIP pieces of each row of x at a time. An invocation has CHUNK pieces of ROWS rows in flight, and loads the
// next before it multiplies these. With PAIR, out = act(first matrix) * second matrix of the same buffer, and half of the rows of each turn
// are of the second; with GATED, out = act(out) * this matrix.
override REDUCE_LANES: u32;
override ROWS: u32; // a power of two
override TURNS: u32; // of a reduce group
override CHUNK: u32;
override STRIP: u32; // a multiple of REDUCE_LANES × CHUNK; SPAN is BATCH × STRIP
override STRIPS: u32;
override BATCH: u32; // a power of two
override STRIDE: u32; // vectors of a weight row
override X_STRIDE: u32; // vec4s of a row of x
override COLS: u32;
override NORM: bool; // RMS norm of x: x / rms(x) * norm
override EPS: f32;
override PAIR: bool;
override GATED: bool;
override ADD: bool; // out += instead of out =
const REDUCE_GROUPS: u32 = THREADS / REDUCE_LANES;
const CHUNKS: u32 = STRIP / REDUCE_LANES / CHUNK;
const GROUP_ROWS: u32 = ROWS * TURNS * REDUCE_GROUPS; // of the workgroup
const TURN_OUTPUTS: u32 = select(ROWS, ROWS / 2u, PAIR);
const OUTPUTS: u32 = TURN_OUTPUTS * TURNS * REDUCE_GROUPS;
const SUMS: u32 = ROWS * BATCH; // of a turn; row r, x b: [r * BATCH + b]
const OWN: u32 = max(SUMS / REDUCE_LANES, 1u); // sums that an invocation keeps
const KEEPERS: u32 = max(REDUCE_LANES / SUMS, 1u); // invocations that keep the same sums
const HALVES: u32 = (2u * STRIP + THREADS - 1u) / THREADS; // halves of pieces of each x that an invocation brings to digits
const IS_WHOLE: bool = STRIPS * STRIP == PIECES_first;
const IS_PAIRED: bool = CHUNK % 2u == 0u && REDUCE_LANES == 32u && PIECES_first % 64u == 0u;

struct Params {
  first: Section, // matrices stacked; unused ones have no rows
  second: Section, // if PAIR, the partner
  third: Section,
  norm: u32, // first vec4 of the norm weights
  batch: u32,
  out_stride: u32,
}
var<uniform> params: Params;
var<storage, read> x: array<vec4f>;
var<storage, read_write> out: array<f32>;

var<workgroup> sum_space: array<f32, GROUP_ROWS * BATCH>;
var<workgroup> square_space: array<f32, REDUCE_GROUPS * BATCH>;

alias Weights = array<Piece_first, ROWS * CHUNK>;
alias Starts = array<u32, ROWS>;

// First vectors of the rows of a turn.
fn starts_of(section: Section, block: u32, turn: u32, thread: u32) -> Starts {
  var starts = Starts();
  let first = block * OUTPUTS + (turn * REDUCE_GROUPS + thread / REDUCE_LANES) * TURN_OUTPUTS;
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    let row = min(first + r % TURN_OUTPUTS, section.rows - 1u);
    starts[r] = select(section.first_vector, params.second.first_vector, r >= TURN_OUTPUTS) + row * STRIDE;
  }
  return starts;
}

// The invocation's j-th piece of a chunk, among those of a strip.
fn place_in_strip(chunk: u32, j: u32, thread: u32) -> u32 {
  return (chunk * CHUNK + j) * REDUCE_LANES + thread % REDUCE_LANES;
}

// The same among those of the row. Past its end the last: there x is zero.
fn piece_of(strip: u32, place: u32) -> u32 {
  if (IS_WHOLE) {
    return strip * STRIP + place;
  }
  return min(strip * STRIP + place, PIECES_first - 1u);
}

fn load_rows(starts: Starts, strip: u32, chunk: u32, thread: u32) -> Weights {
  var w = Weights();
  /* unroll */ for (var r = 0u; r < ROWS; r++) {
    /* unroll */ for (var j = 0u; j < CHUNK; j++) {
      w[r * CHUNK + j] = load_piece_first(starts[r], piece_of(strip, place_in_strip(chunk, j, thread)));
      if (IS_PAIRED && j % 2u == 1u) {
        w[r * CHUNK + j] = pair_first(w[r * CHUNK + j], w[r * CHUNK + max(j, 1u) - 1u]);
      }
    }
  }
  return w;
}

// Stores the digits of a strip of x; zeros past its end. Returns the invocation's sums of squares of each row.
fn bring(strip: u32, thread: u32) -> array<f32, BATCH> {
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  /* unroll */ for (var b = 0u; b < BATCH; b++) {
    /* unroll */ for (var i = 0u; i < HALVES; i++) {
      var four: array<vec4f, 4> = array<vec4f, 4>();
      let place = i * THREADS + thread;
      let half = strip * 2u * STRIP + place;
      if (place < 2u * STRIP && half < 2u * PIECES_first && b < params.batch) {
        /* unroll */ for (var k = 0u; k < 4u; k++) {
          four[k] = x[b * X_STRIDE + half * 4u + k];
          if (NORM) {
            squares[b] += dot(four[k], four[k]);
            four[k] *= vectors[params.norm + half * 4u + k];
          }
        }
      }
      // the neighbour has the other half of the piece
      store_digits(four, select(2u * SPAN, b * 2u * STRIP + place, place < 2u * STRIP));
    }
  }
  return squares;
}

fn scale_of(b: u32) -> f32 {
  if (!NORM) {
    return 1f;
  }
  var sum = 0f;
  /* unroll */ for (var g = 0u; g < REDUCE_GROUPS; g++) {
    sum += square_space[g * BATCH + b];
  }
  return inverseSqrt(sum / f32(COLS) + EPS);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  begin_shuffles(thread);
  let reduce_group = thread / REDUCE_LANES;
  var place = Place(params.first, group.y * groups.x + group.x);
  if (!PAIR) {
    place = place_of(place.block, OUTPUTS, params.first, params.second, params.third);
  }
  let section = place.section;
  let block = place.block;
  var starts = starts_of(section, block, 0u, thread);
  var w = load_rows(starts, 0u, 0u, thread);
  var squares: array<f32, BATCH> = array<f32, BATCH>();
  for (var strip = 0u; strip < STRIPS; strip++) {
    if (strip > 0u) {
      workgroupBarrier();
    }
    let more = bring(strip, thread);
    /* unroll */ for (var b = 0u; b < BATCH; b++) {
      squares[b] += more[b];
    }
    workgroupBarrier();
    for (var turn = 0u; turn < TURNS; turn++) {
      var sums: array<f32, SUMS> = array<f32, SUMS>();
      for (var chunk = 0u; chunk < CHUNKS; chunk++) {
        var next = Weights();
        if (chunk + 1u < CHUNKS) {
          next = load_rows(starts, strip, chunk + 1u, thread);
        } else if (turn + 1u < TURNS || strip + 1u < STRIPS) {
          if (TURNS > 1u) {
            starts = starts_of(section, block, (turn + 1u) % TURNS, thread);
          }
          next = load_rows(starts, strip + (turn + 1u) / TURNS, 0u, thread);
        }
        /* unroll */ for (var j = 0u; j < CHUNK; j++) {
          let at = place_in_strip(chunk, j, thread);
          let p = piece_of(strip, at);
          /* unroll */ for (var b = 0u; b < BATCH; b++) {
            let digits = digits_of(b * STRIP + at);
            /* unroll */ for (var r = 0u; r < ROWS; r++) {
              sums[r * BATCH + b] = dot_piece_first(w[r * CHUNK + j], p, digits, sums[r * BATCH + b]);
            }
          }
        }
        w = next;
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
        let first = (turn * REDUCE_GROUPS + reduce_group) * SUMS + thread % REDUCE_LANES / KEEPERS * OWN;
        /* unroll */ for (var o = 0u; o < OWN; o++) {
          if (strip > 0u) {
            sums[o] += sum_space[first + o];
          }
          sum_space[first + o] = sums[o];
        }
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
        square_space[reduce_group * BATCH + b] = sum;
      }
    }
  }
  workgroupBarrier();
  for (var i = thread; i < OUTPUTS * BATCH; i += THREADS) {
    let r = i / BATCH; // of the workgroup's outputs
    let b = i % BATCH;
    let row = block * OUTPUTS + r;
    if (b < params.batch && row < section.rows) {
      let summed = r / TURN_OUTPUTS * ROWS + r % TURN_OUTPUTS;
      let scale = scale_of(b);
      let at = b * params.out_stride + section.out + row;
      var sum = scale * sum_space[summed * BATCH + b];
      if (PAIR) {
        sum = act(sum) * scale * sum_space[(summed + ROWS / 2u) * BATCH + b];
      }
      if (section.bias > 0u) {
        sum += bias_of(section, row);
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
