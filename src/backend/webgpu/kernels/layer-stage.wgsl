// A stage of layer-kernel.wgsl: products of matrix rows with one vector from the mailbox. The kernel takes this file once for
// each stage, with STAGE replaced by its name. With: storage, shuffle, layer-mailbox. A workgroup takes ROWS × TURNS rows; an
// invocation takes LANE_VECTORS vectors of each, STRIP of them of ROWS rows at a time, and prefetches the next. It loads the
// first weights before it asks for the vector, which may not be there yet. The kernel defines row_start_STAGE(block, row of the
// workgroup). Turns are unrolled, because their sums stay in registers; strips are a loop, because more code overflows the
// instruction cache.
override STRIDE_STAGE: u32; // vectors of a row
override ROWS_STAGE: u32;
override TURNS_STAGE: u32;
override STRIP_STAGE: u32;
override NORM_STAGE: bool; // RMS norm of the vector: x / rms(x) * norm
const LANE_VECTORS_STAGE: u32 = (STRIDE_STAGE + THREADS - 1u) / THREADS;
const STRIPS_STAGE: u32 = (LANE_VECTORS_STAGE + STRIP_STAGE - 1u) / STRIP_STAGE;
const SUMS_STAGE: u32 = ROWS_STAGE * TURNS_STAGE; // a power of two
const OWN_STAGE: u32 = max(SUMS_STAGE / REDUCE_LANES, 1u); // sums that an invocation keeps
const KEEPERS_STAGE: u32 = max(REDUCE_LANES / SUMS_STAGE, 1u); // invocations that keep the same sums
const UNIT_STAGE: u32 = VECTOR_ELEMENTS; // consecutive elements of the vector that an invocation takes from the mailbox
var<storage, read> weights_STAGE: array<vec4u>;

alias Weights_STAGE = array<vec4u, ROWS_STAGE * STRIP_STAGE>;
alias Input_STAGE = array<vec4f, STRIP_STAGE * VECTOR_VEC4S>;
alias Bits_STAGE = array<u32, STRIP_STAGE * VECTOR_ELEMENTS>;

// Index of the invocation's j-th vector of a strip; STRIDE or more past the end of the row.
fn place_STAGE(strip: u32, j: u32, thread: u32) -> u32 {
  return thread + (strip * STRIP_STAGE + j) * THREADS;
}

fn load_STAGE(block: u32, strip: u32, turn: u32, thread: u32) -> Weights_STAGE {
  var w = Weights_STAGE();
  /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
    let start = row_start_STAGE(block, turn * ROWS_STAGE + r);
    /* unroll */ for (var j = 0u; j < STRIP_STAGE; j++) {
      w[r * STRIP_STAGE + j] = weights_STAGE[start + min(place_STAGE(strip, j, thread), STRIDE_STAGE - 1u)];
    }
  }
  return w;
}

// Loads the mailbox words of one strip without waiting; a word may still be UNSET. origin: of the vector.
fn peek_STAGE(origin: u32, strip: u32, thread: u32) -> Bits_STAGE {
  var bits = Bits_STAGE();
  /* unroll */ for (var i = 0u; i < STRIP_STAGE * VECTOR_ELEMENTS; i++) {
    bits[i] = atomicLoad(&mailbox[origin + (strip * STRIP_STAGE * VECTOR_ELEMENTS + i) * THREADS + thread]);
  }
  return bits;
}

// Waits for one strip of the vector; zero past its end.
fn input_STAGE(bits: Bits_STAGE, origin: u32, strip: u32, thread: u32) -> Input_STAGE {
  var x = Input_STAGE();
  /* unroll */ for (var i = 0u; i < STRIP_STAGE * VECTOR_ELEMENTS; i++) {
    if (place_STAGE(strip, i / VECTOR_ELEMENTS, thread) < STRIDE_STAGE) {
      x[i / 4u][i % 4u] = receive(bits[i], origin + (strip * STRIP_STAGE * VECTOR_ELEMENTS + i) * THREADS + thread);
    }
  }
  return x;
}

// Norm weights of one strip of the vector.
fn scales_STAGE(norm: u32, strip: u32, thread: u32) -> Input_STAGE {
  var scales = Input_STAGE();
  if (NORM_STAGE) {
    /* unroll */ for (var j = 0u; j < STRIP_STAGE; j++) {
      /* unroll */ for (var i = 0u; i < VECTOR_VEC4S; i++) {
        scales[j * VECTOR_VEC4S + i] = vectors[norm + min(place_STAGE(strip, j, thread), STRIDE_STAGE - 1u) * VECTOR_VEC4S + i];
      }
    }
  }
  return scales;
}

// Leaves the sums of the workgroup's rows in sum_space, the sums of squares in square_space. norm: first vec4 of the norm weights.
// Every invocation must call it and pass a barrier before it reads.
fn run_STAGE(block: u32, origin: u32, norm: u32, thread: u32) {
  let reduce_group = thread / REDUCE_LANES;
  var w = load_STAGE(block, 0u, 0u, thread);
  var scales = scales_STAGE(norm, 0u, thread);
  var bits = peek_STAGE(origin, 0u, thread);
  var square = 0f;
  var sums: array<f32, SUMS_STAGE> = array<f32, SUMS_STAGE>();
  for (var strip = 0u; strip < STRIPS_STAGE; strip++) {
    var x = input_STAGE(bits, origin, strip, thread);
    if (NORM_STAGE) {
      /* unroll */ for (var i = 0u; i < STRIP_STAGE * VECTOR_VEC4S; i++) {
        square = fma4(x[i], x[i], square);
        x[i] *= scales[i];
      }
    }
    /* unroll */ for (var turn = 0u; turn < TURNS_STAGE; turn++) {
      var next = Weights_STAGE();
      if (turn + 1u < TURNS_STAGE) {
        next = load_STAGE(block, strip, turn + 1u, thread);
      } else if (strip + 1u < STRIPS_STAGE) {
        next = load_STAGE(block, strip + 1u, 0u, thread);
        scales = scales_STAGE(norm, strip + 1u, thread);
        bits = peek_STAGE(origin, strip + 1u, thread);
      }
      /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
        /* unroll */ for (var j = 0u; j < STRIP_STAGE; j++) {
          var sum = fma4(low(w[r * STRIP_STAGE + j]), x[j * VECTOR_VEC4S], sums[turn * ROWS_STAGE + r]);
          if (VECTOR_ELEMENTS == 8u) {
            sum = fma4(high(w[r * STRIP_STAGE + j]), x[j * VECTOR_VEC4S + VECTOR_VEC4S - 1u], sum);
          }
          sums[turn * ROWS_STAGE + r] = sum;
        }
      }
      w = next;
    }
  }
  // Butterfly reduction: in each round an invocation keeps half of its sums and passes the others on, until it keeps OWN.
  /* unroll */ for (var round = 0u; round < 7u; round++) {
    const width = REDUCE_LANES >> (round + 1u);
    const kept = SUMS_STAGE >> (round + 1u);
    if (width > 0u) {
      square += shuffle_xor(square, max(width, 1u));
      if (kept > 0u) {
        let is_upper = (thread & width) != 0u;
        /* unroll */ for (var i = 0u; i < SUMS_STAGE / 2u; i++) {
          if (i < kept) {
            const other = min(i + kept, SUMS_STAGE - 1u);
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
    /* unroll */ for (var o = 0u; o < OWN_STAGE; o++) {
      sum_space[reduce_group * SPACE + thread % REDUCE_LANES / KEEPERS_STAGE * OWN_STAGE + o] = sums[o];
    }
  }
  if (NORM_STAGE && thread % REDUCE_LANES == 0u) {
    square_space[reduce_group] = square;
  }
}

// A row's sum, after a barrier.
fn sum_of_STAGE(i: u32) -> f32 {
  return total_of(i);
}
