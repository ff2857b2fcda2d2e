// A stage of layer-kernel.wgsl with quantised weights: products of matrix rows with one vector from the mailbox. The kernel takes
// this file once for each such stage, with STAGE replaced by its name. With: shuffle, layer-mailbox, quants, and the files of the
// stage's format. The workgroup brings the vector to digits in workgroup memory, SPAN pieces at a time. A reduce group takes
// ROWS rows at a time and alone, an invocation CHUNK pieces of each in flight, and loads the next before it multiplies these. The first
// weights are on their way before the vector is there. The kernel defines row_start_STAGE(block, row of the workgroup).
override STRIDE_STAGE: u32; // vectors of a row
override ROWS_STAGE: u32; // a power of two
override TURNS_STAGE: u32; // of a reduce group over such rows
override CHUNK_STAGE: u32;
override STRIPS_STAGE: u32; // of the vector, SPAN_STAGE pieces each
override SPAN_STAGE: u32; // a multiple of REDUCE_LANES × CHUNK, at most SPAN
override NORM_STAGE: bool; // RMS norm of the vector: x / rms(x) * norm
const UNIT_STAGE: u32 = 16u; // consecutive elements of the vector that an invocation takes from the mailbox
const CHUNKS_STAGE: u32 = SPAN_STAGE / REDUCE_LANES / CHUNK_STAGE;
const SUMS_STAGE: u32 = ROWS_STAGE * TURNS_STAGE * REDUCE_GROUPS;
const OWN_STAGE: u32 = max(ROWS_STAGE / REDUCE_LANES, 1u); // sums that an invocation keeps
const KEEPERS_STAGE: u32 = max(REDUCE_LANES / ROWS_STAGE, 1u); // invocations that keep the same sums
const HALVES_STAGE: u32 = (2u * SPAN_STAGE + THREADS - 1u) / THREADS; // halves of pieces that an invocation brings to digits
const IS_WHOLE_STAGE: bool = STRIPS_STAGE * SPAN_STAGE == PIECES_STAGE;
const IS_PAIRED_STAGE: bool = CHUNK_STAGE % 2u == 0u && REDUCE_LANES == 32u && PIECES_STAGE % 64u == 0u;

alias Weights_STAGE = array<Piece_STAGE, ROWS_STAGE * CHUNK_STAGE>;
alias Starts_STAGE = array<u32, ROWS_STAGE>;
alias Bits_STAGE = array<u32, 16u * HALVES_STAGE>;
alias Scales_STAGE = array<vec4f, 4u * HALVES_STAGE>;

// First vectors of the rows of a turn.
fn starts_STAGE(block: u32, turn: u32, thread: u32) -> Starts_STAGE {
  var starts = Starts_STAGE();
  /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
    starts[r] = row_start_STAGE(block, (turn * REDUCE_GROUPS + thread / REDUCE_LANES) * ROWS_STAGE + r);
  }
  return starts;
}

// The invocation's j-th piece of a chunk, among those in workgroup memory.
fn place_STAGE(chunk: u32, j: u32, thread: u32) -> u32 {
  return (chunk * CHUNK_STAGE + j) * REDUCE_LANES + thread % REDUCE_LANES;
}

// The same among those of the row. Past its end the last: there x is zero.
fn piece_STAGE(strip: u32, place: u32) -> u32 {
  if (IS_WHOLE_STAGE) {
    return strip * SPAN_STAGE + place;
  }
  return min(strip * SPAN_STAGE + place, PIECES_STAGE - 1u);
}

fn load_STAGE(starts: Starts_STAGE, strip: u32, chunk: u32, thread: u32) -> Weights_STAGE {
  var w = Weights_STAGE();
  /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
    /* unroll */ for (var j = 0u; j < CHUNK_STAGE; j++) {
      w[r * CHUNK_STAGE + j] = load_piece_STAGE(starts[r], piece_STAGE(strip, place_STAGE(chunk, j, thread)));
      if (IS_PAIRED_STAGE && j % 2u == 1u) {
        w[r * CHUNK_STAGE + j] = pair_STAGE(w[r * CHUNK_STAGE + j], w[r * CHUNK_STAGE + max(j, 1u) - 1u]);
      }
    }
  }
  return w;
}

// Number of the i-th half of a piece, among all of the vector.
fn half_STAGE(strip: u32, i: u32, thread: u32) -> u32 {
  return strip * 2u * SPAN_STAGE + i * THREADS + thread;
}

// True if the invocation has to do with its i-th half of a strip, and the vector goes so far.
fn is_inside_STAGE(strip: u32, i: u32, thread: u32) -> bool {
  return i * THREADS + thread < 2u * SPAN_STAGE && half_STAGE(strip, i, thread) < 2u * PIECES_STAGE;
}

// Where the invocation's i-th half of a strip begins in the mailbox; the last one's place past the end of the vector. origin: of the
// vector
fn source_STAGE(origin: u32, strip: u32, i: u32, thread: u32) -> u32 {
  let half = select(2u * PIECES_STAGE - 1u, half_STAGE(strip, i, thread), is_inside_STAGE(strip, i, thread));
  return origin + mailbox_place(half * UNIT_STAGE, UNIT_STAGE);
}

// Waits for one strip of the vector. It polls one word of each half, whose others come from the same workgroup, and then loads
// all of them at once: one after another, each would take a trip to memory.
fn take_STAGE(origin: u32, strip: u32, thread: u32) -> Bits_STAGE {
  var bits = Bits_STAGE();
  var is_missing = true;
  for (var look = 0u; look < POLL_LIMIT && is_missing; look++) {
    is_missing = false;
    /* unroll */ for (var i = 0u; i < HALVES_STAGE; i++) {
      let last = atomicLoad(&mailbox[source_STAGE(origin, strip, i, thread) + 15u * THREADS]);
      is_missing = is_missing || last == UNSET;
    }
  }
  is_missing = true;
  for (var look = 0u; look < POLL_LIMIT && is_missing; look++) {
    is_missing = false;
    /* unroll */ for (var i = 0u; i < HALVES_STAGE; i++) {
      let source = source_STAGE(origin, strip, i, thread);
      /* unroll */ for (var e = 0u; e < 16u; e++) {
        bits[16u * i + e] = atomicLoad(&mailbox[source + e * THREADS]);
      }
    }
    /* unroll */ for (var i = 0u; i < 16u * HALVES_STAGE; i++) {
      is_missing = is_missing || bits[i] == UNSET;
    }
  }
  return bits;
}

// Norm weights of one strip of the vector.
fn scales_STAGE(norm: u32, strip: u32, thread: u32) -> Scales_STAGE {
  var scales = Scales_STAGE();
  if (NORM_STAGE) {
    /* unroll */ for (var i = 0u; i < HALVES_STAGE; i++) {
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        scales[4u * i + k] = vectors[norm + min(half_STAGE(strip, i, thread), 2u * PIECES_STAGE - 1u) * 4u + k];
      }
    }
  }
  return scales;
}

// Waits for one strip of the vector and stores its digits; zeros past its end. Returns the invocation's sum of squares.
fn receive_STAGE(scales: Scales_STAGE, origin: u32, strip: u32, thread: u32) -> f32 {
  let bits = take_STAGE(origin, strip, thread);
  var square = 0f;
  /* unroll */ for (var i = 0u; i < HALVES_STAGE; i++) {
    var x: array<vec4f, 4> = array<vec4f, 4>();
    let is_inside = is_inside_STAGE(strip, i, thread);
    /* unroll */ for (var e = 0u; e < 16u; e++) {
      x[e / 4u][e % 4u] = bitcast<f32>(select(0u, bits[16u * i + e], is_inside));
    }
    if (NORM_STAGE) {
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        square = fma4(x[k], x[k], square);
        x[k] *= scales[4u * i + k];
      }
    }
    store_digits(x, i * THREADS + thread);
  }
  return square;
}

// Leaves the sums of the workgroup's rows in sum_space, the sums of squares in square_space. norm: first vec4 of the norm
// weights. Every invocation must call it and pass a barrier before it reads.
fn run_STAGE(block: u32, origin: u32, norm: u32, thread: u32) {
  let reduce_group = thread / REDUCE_LANES;
  var starts = starts_STAGE(block, 0u, thread);
  var w = load_STAGE(starts, 0u, 0u, thread);
  let first_scales = scales_STAGE(norm, 0u, thread);
  var square = 0f;
  for (var strip = 0u; strip < STRIPS_STAGE; strip++) {
    if (strip > 0u) {
      workgroupBarrier();
      square += receive_STAGE(scales_STAGE(norm, strip, thread), origin, strip, thread);
    } else {
      square = receive_STAGE(first_scales, origin, 0u, thread);
    }
    workgroupBarrier();
    for (var turn = 0u; turn < TURNS_STAGE; turn++) {
      var sums: array<f32, ROWS_STAGE> = array<f32, ROWS_STAGE>();
      for (var chunk = 0u; chunk < CHUNKS_STAGE; chunk++) {
        var next = Weights_STAGE();
        if (chunk + 1u < CHUNKS_STAGE) {
          next = load_STAGE(starts, strip, chunk + 1u, thread);
        } else if (turn + 1u < TURNS_STAGE || strip + 1u < STRIPS_STAGE) {
          if (TURNS_STAGE > 1u) {
            starts = starts_STAGE(block, (turn + 1u) % TURNS_STAGE, thread);
          }
          next = load_STAGE(starts, strip + (turn + 1u) / TURNS_STAGE, 0u, thread);
        }
        /* unroll */ for (var j = 0u; j < CHUNK_STAGE; j++) {
          let place = place_STAGE(chunk, j, thread);
          let p = piece_STAGE(strip, place);
          let x = digits_of(place);
          /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
            sums[r] = dot_piece_STAGE(w[r * CHUNK_STAGE + j], p, x, sums[r]);
          }
        }
        w = next;
      }
      // Butterfly reduction: in each round an invocation keeps half of its sums and passes the others on, until it keeps OWN.
      /* unroll */ for (var round = 0u; round < 7u; round++) {
        const width = REDUCE_LANES >> (round + 1u);
        const kept = ROWS_STAGE >> (round + 1u);
        if (width > 0u) {
          if (kept > 0u) {
            let is_upper = (thread & width) != 0u;
            /* unroll */ for (var i = 0u; i < ROWS_STAGE / 2u; i++) {
              if (i < kept) {
                const other = min(i + kept, ROWS_STAGE - 1u);
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
      if (thread % KEEPERS_STAGE == 0u) {
        let first = (turn * REDUCE_GROUPS + reduce_group) * ROWS_STAGE + thread % REDUCE_LANES / KEEPERS_STAGE * OWN_STAGE;
        /* unroll */ for (var o = 0u; o < OWN_STAGE; o++) {
          if (strip > 0u) {
            sums[o] += sum_space[first + o];
          }
          sum_space[first + o] = sums[o];
        }
      }
    }
  }
  if (NORM_STAGE) {
    /* unroll */ for (var round = 0u; round < 7u; round++) {
      const width = REDUCE_LANES >> (round + 1u);
      if (width > 0u) {
        square += shuffle_xor(square, max(width, 1u));
      }
    }
    if (thread % REDUCE_LANES == 0u) {
      square_space[reduce_group] = square;
    }
  }
}

// A row's sum, after a barrier.
fn sum_of_STAGE(i: u32) -> f32 {
  return sum_space[i];
}
