// Causal prefill attention of many rows of one sequence over everything cached, with subgroup matrices. With: storage and cache-floats or cache-
// q8, subgroup-matrix, step. A workgroup computes ROW_BLOCKS blocks of MATRIX_M rows for HEADS query heads of one kv head, a subgroup for each
// block and head, BLOCK keys per turn. All subgroups share the keys and values. Registers prefetch those of the next turn; the
// pages of the turn after it are looked up meanwhile. Softmax weights are relative to a maximum that may lag behind by LAG, so
// that sums are seldom rescaled: subgroup matrices can only be scaled in memory.
override HEADS: u32;
override ROW_BLOCKS: u32;
override QUERY_HEADS: u32;
override HEAD_DIM: u32; // a multiple of MATRIX_K and MATRIX_N
override SCALE: f32;
override WINDOWED: bool; // a row attends to the last params.window tokens up to its own
override BLOCK: u32;
const LAG: f32 = 6f; // weights stay below exp(6), far below the largest f16
const SUBGROUPS: u32 = HEADS * ROW_BLOCKS;
const THREADS: u32 = SUBGROUP * SUBGROUPS;
const TILE_ROWS: u32 = ROW_BLOCKS * MATRIX_M;
const ROW_STRIDE: u32 = ROW_VECTORS + 1u; // vectors of a row in workgroup memory, padded against bank conflicts
const QUERY_STEPS: u32 = HEAD_DIM / MATRIX_K;
const OUT_BLOCKS: u32 = HEAD_DIM / MATRIX_N;
const SCORE_BLOCKS: u32 = BLOCK / MATRIX_N; // of keys, as columns of scores
const WEIGHT_STEPS: u32 = BLOCK / MATRIX_K; // of keys, as columns of weights
const SCORE_STRIDE: u32 = BLOCK + 4u;
const SCORE_SPACE: u32 = MATRIX_M * SCORE_STRIDE; // of a subgroup
const WEIGHT_STRIDE: u32 = BLOCK / 8u + 1u; // vectors
const WEIGHT_SPACE: u32 = MATRIX_M * WEIGHT_STRIDE;
const SIDE: u32 = SUBGROUP / MATRIX_M; // invocations of a row in the softmax: 1, 2 or 4
const ROW_KEYS: u32 = BLOCK / SIDE; // scores of an invocation
const LOADS: u32 = (BLOCK * ROW_VECTORS + THREADS - 1u) / THREADS; // vectors of keys, and of values, an invocation loads
const LOWEST: f32 = -3e38;

struct Params {
  first_row: u32,
  rows: u32,
  sequence: u32,
  window: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> keys: array<CacheVector>; // f16 or int8
var<storage, read> values: array<CacheVector>;
var<storage, read_write> out: array<f32>;

var<workgroup> k_tile: array<vec4u, BLOCK * ROW_STRIDE>;
var<workgroup> v_tile: array<vec4u, BLOCK * ROW_STRIDE>;
var<workgroup> scale_tile: array<f32, select(1u, BLOCK, IS_SCALED)>; // of keys
var<workgroup> score_space: array<f32, SUBGROUPS * SCORE_SPACE>;
var<workgroup> weight_space: array<vec4u, SUBGROUPS * WEIGHT_SPACE>;
var<workgroup> rescales: atomic<u32>;

alias Pages = array<u32, LOADS>;
alias Rows = array<CacheVector, LOADS>;
alias Scales = array<vec2f, LOADS>;

// The token whose vector an invocation loads i-th in a turn; the last one past the end.
fn token_of(i: u32, thread: u32, base: u32, end: u32) -> u32 {
  return min(base + (i * THREADS + thread) / ROW_VECTORS, end - 1u);
}

fn pages_of(table: u32, thread: u32, base: u32, end: u32) -> Pages {
  var pages = Pages();
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    pages[i] = step[table + token_of(i, thread, base, end) / PAGE_SIZE];
  }
  return pages;
}

fn places_of(pages: Pages, kv_head: u32, thread: u32, base: u32, end: u32) -> Pages {
  var places = Pages();
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    places[i] = start_at(
      cache_place(pages[i], kv_head, token_of(i, thread, base, end) % PAGE_SIZE), (i * THREADS + thread) % ROW_VECTORS);
  }
  return places;
}

fn scales_of(places: Pages) -> Scales {
  var scales = Scales();
  if (IS_SCALED) {
    /* unroll */ for (var i = 0u; i < LOADS; i++) {
      scales[i] = scales_in(keys[scales_at(places[i])]);
    }
  }
  return scales;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let head = group.y * HEADS + subgroup % HEADS;
  let kv_head = group.y * HEADS / (QUERY_HEADS / KV_HEADS);
  let table = PAGE_TABLES + params.sequence * MAX_PAGES;
  // the last rows attend to most tokens, so they start first
  let tile = (params.rows + TILE_ROWS - 1u) / TILE_ROWS - 1u - group.x;
  let first = tile * TILE_ROWS;
  let last = min(first + TILE_ROWS, params.rows) - 1u;
  let end = step[ROW_LENGTHS + params.first_row + last]; // tokens that the last row attends to
  let start = end - (last - first + 1u); // position of the first row
  var origin = 0u; // first key that the first row attends to
  if (WINDOWED) {
    origin = start + 1u - min(start + 1u, params.window);
  }
  let my_row = subgroup / HEADS * MATRIX_M + lane / SIDE; // of the tile
  let side = lane % SIDE;
  let scores = subgroup * SCORE_SPACE;
  let weights = subgroup * WEIGHT_SPACE;

  var q: array<LeftMatrix, QUERY_STEPS>;
  /* unroll */ for (var s = 0u; s < QUERY_STEPS; s++) {
    workgroupBarrier();
    // the invocation's share of a step's channels of a row, as f16
    let source = ((params.first_row + min(first + my_row, last)) * QUERY_HEADS + head) * HEAD_DIM + s * MATRIX_K + side * (MATRIX_K / SIDE);
    /* unroll */ for (var i = 0u; i < K_VECTORS / SIDE; i++) {
      var vector = vec4u();
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        let at = source + i * 8u + 2u * k;
        vector[k] = pack2x16float(clamp(SCALE * vec2f(query[at], query[at + 1u]), vec2f(-65504f), vec2f(65504f)));
      }
      weight_space[weights + lane / SIDE * WEIGHT_STRIDE + side * (K_VECTORS / SIDE) + i] = vector;
    }
    workgroupBarrier();
    q[s] = subgroupMatrixLoad<LeftMatrix, row_major>(
      &weight_space, weights, WEIGHT_STRIDE);
  }
  var sums: array<ResultMatrix, OUT_BLOCKS>;
  var top = LOWEST;
  var mass = 0f;

  var key = Rows();
  var value = Rows();
  var place = places_of(pages_of(table, thread, origin, end), kv_head, thread, origin, end);
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    key[i] = keys[key_at(place[i], (i * THREADS + thread) % ROW_VECTORS)];
    value[i] = values[value_at(place[i], (i * THREADS + thread) % ROW_VECTORS)];
  }
  var scale = scales_of(place);
  var page = pages_of(table, thread, origin + BLOCK, end);
  for (var base = origin; base < end; base += BLOCK) {
    workgroupBarrier();
    /* unroll */ for (var i = 0u; i < LOADS; i++) {
      let at = i * THREADS + thread;
      if (BLOCK * ROW_VECTORS % THREADS == 0u || at < BLOCK * ROW_VECTORS) {
        k_tile[at / ROW_VECTORS * ROW_STRIDE + at % ROW_VECTORS] = key_halves(key[i]);
        v_tile[at / ROW_VECTORS * ROW_STRIDE + at % ROW_VECTORS] = value_halves(value[i], scale[i].y);
        if (IS_SCALED && at % ROW_VECTORS == 0u) {
          scale_tile[min(at / ROW_VECTORS, select(0u, BLOCK - 1u, IS_SCALED))] = scale[i].x;
        }
      }
    }
    if (thread == 0u) {
      atomicStore(&rescales, 0u);
    }
    workgroupBarrier();
    if (base + BLOCK < end) {
      place = places_of(page, kv_head, thread, base + BLOCK, end);
      /* unroll */ for (var i = 0u; i < LOADS; i++) {
        key[i] = keys[key_at(place[i], (i * THREADS + thread) % ROW_VECTORS)];
        value[i] = values[value_at(place[i], (i * THREADS + thread) % ROW_VECTORS)];
      }
      scale = scales_of(place);
      page = pages_of(table, thread, base + 2u * BLOCK, end);
    }
    /* unroll */ for (var n = 0u; n < SCORE_BLOCKS; n++) {
      // set, because a matrix declared in a loop keeps its contents from turn to turn
      var dots = ResultMatrix(0f);
      /* unroll */ for (var s = 0u; s < QUERY_STEPS; s++) {
        let right = subgroupMatrixLoad<RightMatrix, col_major>(
          &k_tile, n * MATRIX_N * ROW_STRIDE + s * K_VECTORS, ROW_STRIDE);
        dots = subgroupMatrixMultiplyAccumulate(q[s], right, dots);
      }
      subgroupMatrixStore<row_major>(&score_space, scores + n * MATRIX_N, dots, SCORE_STRIDE);
    }
    workgroupBarrier();

    var own: array<f32, ROW_KEYS> = array<f32, ROW_KEYS>();
    var largest = LOWEST;
    /* unroll */ for (var i = 0u; i < ROW_KEYS; i++) {
      let key = side * ROW_KEYS + i;
      var score = score_space[scores + lane / SIDE * SCORE_STRIDE + key];
      if (IS_SCALED) {
        score *= scale_tile[min(key, select(0u, BLOCK - 1u, IS_SCALED))];
      }
      var is_seen = base + key <= start + my_row;
      if (WINDOWED) {
        is_seen = is_seen && base + key + params.window > start + my_row;
      }
      own[i] = select(LOWEST, score, is_seen);
      largest = max(largest, own[i]);
    }
    /* unroll */ for (var i = 0u; i < SIDE / 2u; i++) {
      largest = max(largest, subgroupShuffleXor(largest, 1u << i));
    }
    var shrink = 1f;
    if (base == origin) {
      top = largest;
    } else if (largest > top + LAG) {
      shrink = exp(top - largest);
      top = largest;
      atomicStore(&rescales, 1u);
    }
    mass *= shrink;
    /* unroll */ for (var i = 0u; i < ROW_KEYS / 8u; i++) {
      var vector = vec4u();
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        let pair = select(
          vec2f(),
          exp(vec2f(own[i * 8u + 2u * k], own[i * 8u + 2u * k + 1u]) - top),
          vec2f(own[i * 8u + 2u * k], own[i * 8u + 2u * k + 1u]) > vec2f(LOWEST));
        mass += pair.x + pair.y;
        vector[k] = pack2x16float(pair);
      }
      weight_space[weights + lane / SIDE * WEIGHT_STRIDE + side * (ROW_KEYS / 8u) + i] = vector;
    }
    // the barrier in it also orders the weights before their use
    if (workgroupUniformLoad(&rescales) != 0u) {
      /* unroll */ for (var s = 0u; s < OUT_BLOCKS; s++) {
        workgroupBarrier();
        subgroupMatrixStore<row_major>(&score_space, scores, sums[s], SCORE_STRIDE);
        workgroupBarrier();
        for (var i = 0u; i < MATRIX_N / SIDE; i++) {
          score_space[scores + lane / SIDE * SCORE_STRIDE + side * (MATRIX_N / SIDE) + i] *= shrink;
        }
        workgroupBarrier();
        sums[s] = subgroupMatrixLoad<ResultMatrix, row_major>(&score_space, scores, SCORE_STRIDE);
      }
    }
    /* unroll */ for (var n = 0u; n < WEIGHT_STEPS; n++) {
      let left = subgroupMatrixLoad<LeftMatrix, row_major>(
        &weight_space, weights + n * K_VECTORS, WEIGHT_STRIDE);
      /* unroll */ for (var s = 0u; s < OUT_BLOCKS; s++) {
        let right = subgroupMatrixLoad<RightMatrix, row_major>(
          &v_tile, n * MATRIX_K * ROW_STRIDE + s * N_VECTORS, ROW_STRIDE);
        sums[s] = subgroupMatrixMultiplyAccumulate(left, right, sums[s]);
      }
    }
  }

  /* unroll */ for (var i = 0u; i < SIDE / 2u; i++) {
    mass += subgroupShuffleXor(mass, 1u << i);
  }
  /* unroll */ for (var s = 0u; s < OUT_BLOCKS; s++) {
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&score_space, scores, sums[s], SCORE_STRIDE);
    workgroupBarrier();
    if (first + my_row <= last) {
      let to = ((params.first_row + first + my_row) * QUERY_HEADS + head) * HEAD_DIM + s * MATRIX_N;
      /* unroll */ for (var i = 0u; i < MATRIX_N / SIDE; i++) {
        let channel = i * SIDE + side;
        out[to + channel] = score_space[scores + lane / SIDE * SCORE_STRIDE + channel] / mass;
      }
    }
  }
}
