// A stage of layer-kernel.wgsl, which takes this file once for each with STAGE replaced by its name: products of the rows of a matrix
// with one vector. With: storage, fold, chain-links.
// A workgroup takes ROWS × TURNS rows, each invocation PIECES pieces of each: CHUNK pieces of ROWS rows at a time, the next on
// their way meanwhile. The first weights are on their way before the vector is asked for, which may still be in the making. Who
// uses it says where rows begin: row_start_STAGE(block, row of the workgroup). Turns are written out, as their sums stay in
// registers; chunks are a loop, as more code than this falls out of the caches of instructions.
override STRIDE_STAGE: u32; // pieces of a row
override ROWS_STAGE: u32;
override TURNS_STAGE: u32;
override CHUNK_STAGE: u32;
override NORM_STAGE: bool; // it is normed on the way: x / rms(x) * norm
const PIECES_STAGE: u32 = (STRIDE_STAGE + THREADS - 1u) / THREADS;
const CHUNKS_STAGE: u32 = (PIECES_STAGE + CHUNK_STAGE - 1u) / CHUNK_STAGE;
const SUMS_STAGE: u32 = ROWS_STAGE * TURNS_STAGE; // a power of two
const OWN_STAGE: u32 = max(SUMS_STAGE / FOLD, 1u); // sums that an invocation is left with
const KEEPERS_STAGE: u32 = max(FOLD / SUMS_STAGE, 1u); // invocations that are left with the same
var<storage, read> weights_STAGE: array<vec4u>;

alias Weights_STAGE = array<vec4u, ROWS_STAGE * CHUNK_STAGE>;
alias Vector_STAGE = array<vec4f, CHUNK_STAGE * PIECE4>;
alias Bits_STAGE = array<u32, CHUNK_STAGE * PIECE>;

// The invocation's piece j of a chunk; STRIDE or more past the end of the row.
fn piece_STAGE(chunk: u32, j: u32, thread: u32) -> u32 {
  return thread + (chunk * CHUNK_STAGE + j) * THREADS;
}

fn load_STAGE(block: u32, chunk: u32, turn: u32, thread: u32) -> Weights_STAGE {
  var w = Weights_STAGE();
  /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
    let start = row_start_STAGE(block, turn * ROWS_STAGE + r);
    /* unroll */ for (var j = 0u; j < CHUNK_STAGE; j++) {
      w[r * CHUNK_STAGE + j] = weights_STAGE[start + min(piece_STAGE(chunk, j, thread), STRIDE_STAGE - 1u)];
    }
  }
  return w;
}

// What lies in the links of a chunk of the vector, which begin at `origin`, be it there already or not.
fn peek_STAGE(origin: u32, chunk: u32, thread: u32) -> Bits_STAGE {
  var bits = Bits_STAGE();
  /* unroll */ for (var i = 0u; i < CHUNK_STAGE * PIECE; i++) {
    bits[i] = atomicLoad(&links[origin + (chunk * CHUNK_STAGE * PIECE + i) * THREADS + thread]);
  }
  return bits;
}

// A chunk of the vector; zero past its end.
fn vector_STAGE(bits: Bits_STAGE, origin: u32, chunk: u32, thread: u32) -> Vector_STAGE {
  var x = Vector_STAGE();
  /* unroll */ for (var i = 0u; i < CHUNK_STAGE * PIECE; i++) {
    if (piece_STAGE(chunk, i / PIECE, thread) < STRIDE_STAGE) {
      x[i / 4u][i % 4u] = link_of(bits[i], origin + (chunk * CHUNK_STAGE * PIECE + i) * THREADS + thread);
    }
  }
  return x;
}

// Weights of the norm for a chunk of the vector.
fn scales_STAGE(norm: u32, chunk: u32, thread: u32) -> Vector_STAGE {
  var scales = Vector_STAGE();
  if (NORM_STAGE) {
    /* unroll */ for (var j = 0u; j < CHUNK_STAGE; j++) {
      /* unroll */ for (var i = 0u; i < PIECE4; i++) {
        scales[j * PIECE4 + i] = vectors[norm + min(piece_STAGE(chunk, j, thread), STRIDE_STAGE - 1u) * PIECE4 + i];
      }
    }
  }
  return scales;
}

// Leaves the sums of the workgroup's rows in sum_space, and those of the squares of x behind them. norm: first vec4 of the norm
// weights. Every invocation must call it, and meet at a barrier before it reads.
fn run_STAGE(block: u32, origin: u32, norm: u32, thread: u32) {
  let fold = thread / FOLD;
  var w = load_STAGE(block, 0u, 0u, thread);
  var scales = scales_STAGE(norm, 0u, thread);
  var bits = peek_STAGE(origin, 0u, thread);
  var square = 0f;
  var sums: array<f32, SUMS_STAGE> = array<f32, SUMS_STAGE>();
  for (var chunk = 0u; chunk < CHUNKS_STAGE; chunk++) {
    var x = vector_STAGE(bits, origin, chunk, thread);
    if (NORM_STAGE) {
      /* unroll */ for (var i = 0u; i < CHUNK_STAGE * PIECE4; i++) {
        square = fma4(x[i], x[i], square);
        x[i] *= scales[i];
      }
    }
    /* unroll */ for (var turn = 0u; turn < TURNS_STAGE; turn++) {
      var next = Weights_STAGE();
      if (turn + 1u < TURNS_STAGE) {
        next = load_STAGE(block, chunk, turn + 1u, thread);
      } else if (chunk + 1u < CHUNKS_STAGE) {
        next = load_STAGE(block, chunk + 1u, 0u, thread);
        scales = scales_STAGE(norm, chunk + 1u, thread);
        bits = peek_STAGE(origin, chunk + 1u, thread);
      }
      /* unroll */ for (var r = 0u; r < ROWS_STAGE; r++) {
        /* unroll */ for (var j = 0u; j < CHUNK_STAGE; j++) {
          var sum = fma4(low(w[r * CHUNK_STAGE + j]), x[j * PIECE4], sums[turn * ROWS_STAGE + r]);
          if (PIECE == 8u) {
            sum = fma4(high(w[r * CHUNK_STAGE + j]), x[j * PIECE4 + PIECE4 - 1u], sum);
          }
          sums[turn * ROWS_STAGE + r] = sum;
        }
      }
      w = next;
    }
  }
  // In each round an invocation keeps half of its sums and hands the others over, until it is left with OWN.
  /* unroll */ for (var round = 0u; round < 7u; round++) {
    const width = FOLD >> (round + 1u);
    const kept = SUMS_STAGE >> (round + 1u);
    if (width > 0u) {
      square += of_other(square, max(width, 1u));
      if (kept > 0u) {
        let is_upper = (thread & width) != 0u;
        /* unroll */ for (var i = 0u; i < SUMS_STAGE / 2u; i++) {
          if (i < kept) {
            const other = min(i + kept, SUMS_STAGE - 1u);
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
  if (thread % KEEPERS_STAGE == 0u) {
    /* unroll */ for (var o = 0u; o < OWN_STAGE; o++) {
      sum_space[fold * SPACE + thread % FOLD / KEEPERS_STAGE * OWN_STAGE + o] = sums[o];
    }
  }
  if (NORM_STAGE && thread % FOLD == 0u) {
    sum_space[fold * SPACE + SPACE - 1u] = square;
  }
}
