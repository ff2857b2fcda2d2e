// attend.wgsl for a q8 cache on devices with subgroup matrices: no multiply-add, no reduction and no conversion to f32 for each
// channel of a key or value. With: cache-q8, step, subgroup-matrix, attend-inputs.
//
// A subgroup takes 16 tokens per turn for all heads of the workgroup, with states and tiles of its own. The rows of its matrices are heads: of
// queries as sums of two f16, upper parts in rows 0 to 7 and lower ones in 8 to 15, so that scores are those of f32 queries. f16
// holds keys and values as the integers that they are. The scale of a value is part of the exponent of its weight, whose maximum
// may lag behind by LAG, since subgroup matrices can only be scaled in memory. Within four channels, tiles have the second and third swapped.
override SUBGROUPS: u32;
override MIN_TURNS: u32; // of a workgroup
const THREADS: u32 = SUBGROUP * SUBGROUPS;
const LAG: f32 = 6f; // weights stay below exp(6), far below the largest f16
const LOWER: u32 = 8u; // first row of the lower parts
const TURN: u32 = 16u * SUBGROUPS; // tokens
const STEPS: u32 = HEAD_DIM / 16u;
const LOADS: u32 = ROW_VECTORS / 2u; // vectors of keys, and of values, that an invocation loads
const ROW_STRIDE: u32 = ROW_VECTORS + 1u; // vectors of a row in workgroup memory, padded against bank conflicts
const TILE: u32 = 16u * ROW_STRIDE; // of a subgroup
const SCORE_STRIDE: u32 = 20u;
const SCORE_SPACE: u32 = 16u * SCORE_STRIDE; // of a subgroup
const WEIGHT_STRIDE: u32 = 3u; // vectors
const WEIGHT_SPACE: u32 = 16u * WEIGHT_STRIDE; // of a subgroup
const SIDE_HEADS: u32 = (HEADS + 1u) / 2u; // heads of an invocation in the softmax

alias QueryElement = f32;

var<workgroup> k_tile: array<vec4u, SUBGROUPS * TILE>;
var<workgroup> v_tile: array<vec4u, SUBGROUPS * TILE>;
var<workgroup> score_space: array<f32, SUBGROUPS * SCORE_SPACE>;
var<workgroup> weight_space: array<vec4u, SUBGROUPS * WEIGHT_SPACE>;
var<workgroup> shrink_space: array<f32, SUBGROUPS * 16u>;
var<workgroup> state_space: array<vec4f, SUBGROUPS * 8u>; // largest score, mass, maximum of the weights
var<workgroup> rescales: atomic<u32>;

alias Rows = array<CacheVector, LOADS>;

// Two of the bytes of a word, the first and the third, as f16.
fn pair_of(word: u32) -> u32 {
  return bitcast<u32>(bitcast<vec2<f16>>((word & 0x00ff00ffu) ^ 0x64806480u) - vec2<f16>(1152h));
}

fn integers_of(vector: CacheVector) -> vec4u {
  return vec4u(pair_of(vector.x), pair_of(vector.x >> 8u), pair_of(vector.y), pair_of(vector.y >> 8u));
}

// Where a token of a split lies (cache_place); the last one past the end, the window's first one before it.
fn place_of(i: u32, list: u32, origin: u32, size: u32, hidden: u32, table: u32, kv_head: u32) -> u32 {
  var position = origin + max(min(i, max(size, 1u) - 1u), hidden);
  if (SELECTED) {
    position = indices[list + origin + min(i, max(size, 1u) - 1u)];
  }
  return cache_place(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE);
}

fn load_keys(place: u32, lane: u32) -> Rows {
  var rows = Rows();
  /* unroll */ for (var i = 0u; i < LOADS; i++) {
    let at = i * SUBGROUP + lane;
    rows[i] = keys[key_at(subgroupShuffle(place, at / ROW_VECTORS), at % ROW_VECTORS)];
  }
  return rows;
}

fn load_values(place: u32, lane: u32) -> Rows {
  var rows = Rows();
  if (!ONLY_SCORES) {
    /* unroll */ for (var i = 0u; i < LOADS; i++) {
      let at = i * SUBGROUP + lane;
      rows[i] = values[value_at(subgroupShuffle(place, at / ROW_VECTORS), at % ROW_VECTORS)];
    }
  }
  return rows;
}

// Over the 16 invocations that have the tokens of one head.
fn largest_of(value: f32) -> f32 {
  var largest = max(value, subgroupShuffleXor(value, 8u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  return max(largest, subgroupShuffleXor(largest, 1u));
}

fn sum_of(value: f32) -> f32 {
  var sum = value + subgroupShuffleXor(value, 8u);
  sum += subgroupShuffleXor(sum, 4u);
  sum += subgroupShuffleXor(sum, 2u);
  return sum + subgroupShuffleXor(sum, 1u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let row = params.first_row + group.z;
  let first_head = group.y * HEADS;
  let kv_head = first_head / GROUP_SIZE;
  let table = PAGE_TABLES + (params.sequence + group.z * params.sequence_step) * MAX_PAGES;
  let of_selection = params.of_selection + group.z * params.sequence_step;
  var length = 0u;
  var list = 0u;
  var skipped = 0u; // tokens before the window
  if (SELECTED) {
    length = counts[of_selection];
    list = (of_selection * params.groups + first_head * params.groups / QUERY_HEADS) * params.capacity;
  } else {
    length = step[ROW_LENGTHS + row];
    if (WINDOWED) {
      skipped = length - min(length, params.window);
      length -= skipped;
    }
  }
  // depends on the row's length alone, so that a row's sums do not depend on the rows beside it
  let turns = max((length + params.wanted_splits * TURN - 1u) / (params.wanted_splits * TURN), MIN_TURNS);
  let split_tokens = turns * TURN;
  let begin = min(group.x * split_tokens, length);
  let size = min(split_tokens, length - begin);
  let origin = skipped + min(begin, length - 1u); // a workgroup without tokens prefetches, too

  let tile = subgroup * TILE;
  let scores_at_subgroup = subgroup * SCORE_SPACE;
  let weights = subgroup * WEIGHT_SPACE;
  let matrix_row = lane / 2u; // of which the invocation handles eight columns
  let side = lane % 2u;
  let token = lane % 16u;
  let first_own = lane / 16u * SIDE_HEADS;

  var q: array<subgroup_matrix_left<f16, 16, 16>, STEPS>;
  /* unroll */ for (var s = 0u; s < STEPS; s++) {
    workgroupBarrier();
    let head = first_head + min(matrix_row % LOWER, HEADS - 1u);
    let source = (row * QUERY_HEADS + head) * HEAD_DIM + s * 16u + side * 8u;
    var vector = vec4u();
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      let at = source + k / 2u * 4u + k % 2u;
      let both = clamp(SCALE * vec2f(query[at], query[at + 2u]), vec2f(-65504f), vec2f(65504f));
      let upper = pack2x16float(both);
      vector[k] = select(upper, pack2x16float(both - unpack2x16float(upper)), matrix_row >= LOWER);
    }
    weight_space[weights + matrix_row * WEIGHT_STRIDE + side] = select(vec4u(), vector, matrix_row % LOWER < HEADS);
    workgroupBarrier();
    q[s] = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weight_space, weights, WEIGHT_STRIDE);
  }
  workgroupBarrier();
  // rows past the heads stay zero
  weight_space[weights + matrix_row * WEIGHT_STRIDE + side] = vec4u();
  var sums: array<subgroup_matrix_result<f32, 16, 16>, STEPS>;
  var top: array<f32, SIDE_HEADS>; // largest score
  var mass: array<f32, SIDE_HEADS>;
  var weight_top: array<f32, SIDE_HEADS>; // of scores and logarithms of values' scales
  /* unroll */ for (var i = 0u; i < SIDE_HEADS; i++) {
    top[i] = LOWEST;
    mass[i] = 0f;
    weight_top[i] = LOWEST;
  }

  var place = place_of(subgroup * 16u + token, list, origin, size, 0u, table, kv_head);
  var key = load_keys(place, lane);
  var value = load_values(place, lane);
  var scale = scales_in(keys[scales_at(place)]);
  var next_place = place_of(TURN + subgroup * 16u + token, list, origin, size, 0u, table, kv_head);
  for (var base = 0u; base < size; base += TURN) {
    workgroupBarrier();
    /* unroll */ for (var i = 0u; i < LOADS; i++) {
      let at = i * SUBGROUP + lane;
      let to = tile + at / ROW_VECTORS * ROW_STRIDE + at % ROW_VECTORS;
      k_tile[to] = integers_of(key[i]);
      v_tile[to] = integers_of(value[i]);
    }
    if (thread == 0u) {
      atomicStore(&rescales, 0u);
    }
    let own_scale = scale;
    workgroupBarrier();
    if (base + TURN < size) {
      key = load_keys(next_place, lane);
      value = load_values(next_place, lane);
      scale = scales_in(keys[scales_at(next_place)]);
      next_place = place_of(base + 2u * TURN + subgroup * 16u + token, list, origin, size, 0u, table, kv_head);
    }
    // set, because a matrix declared in a loop keeps its contents from turn to turn
    var dots = subgroup_matrix_result<f32, 16, 16>(0f);
    /* unroll */ for (var s = 0u; s < STEPS; s++) {
      let right = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&k_tile, tile + s * 2u, ROW_STRIDE);
      dots = subgroupMatrixMultiplyAccumulate(q[s], right, dots);
    }
    subgroupMatrixStore<row_major>(&score_space, scores_at_subgroup, dots, SCORE_STRIDE);
    workgroupBarrier();

    let index = base + subgroup * 16u + token;
    let is_in = index < size;
    var weight: array<f32, SIDE_HEADS> = array<f32, SIDE_HEADS>();
    /* unroll */ for (var i = 0u; i < SIDE_HEADS; i++) {
      let head = min(first_own + i, HEADS - 1u);
      let at = scores_at_subgroup + head * SCORE_STRIDE + token;
      let score = own_scale.x * (score_space[at] + score_space[at + LOWER * SCORE_STRIDE]);
      if (EMIT_SCORES) {
        if (is_in && first_own + i < HEADS) {
          var position = origin + index;
          if (SELECTED) {
            position = indices[list + origin + index];
          }
          scores[(of_selection * QUERY_HEADS + first_head + head) * params.score_capacity + position] = score;
        }
      }
      let seen = select(LOWEST, score, is_in);
      let new_top = max(top[i], largest_of(seen));
      mass[i] = mass[i] * exp(top[i] - new_top) + select(0f, exp(seen - new_top), is_in);
      top[i] = new_top;
      // a scale of NaN makes NaN of the weight
      let has_weight = is_in && own_scale.y != 0f;
      let exponent = select(LOWEST, score + log(own_scale.y), has_weight);
      let largest = largest_of(exponent);
      var shrink = 1f;
      if (weight_top[i] == LOWEST) {
        weight_top[i] = largest;
      } else if (largest > weight_top[i] + LAG) {
        shrink = exp(weight_top[i] - largest);
        weight_top[i] = largest;
        atomicStore(&rescales, 1u);
      }
      weight[i] = select(0f, exp(exponent - weight_top[i]), has_weight);
      if (token == 0u && first_own + i < HEADS) {
        shrink_space[subgroup * 16u + head] = shrink;
      }
    }
    if (ONLY_SCORES) {
      continue;
    }
    workgroupBarrier();
    /* unroll */ for (var i = 0u; i < SIDE_HEADS; i++) {
      if (first_own + i < HEADS) {
        score_space[scores_at_subgroup + (first_own + i) * SCORE_STRIDE + token] = weight[i];
      }
    }
    workgroupBarrier();
    if (matrix_row < HEADS) {
      let at = scores_at_subgroup + matrix_row * SCORE_STRIDE + side * 8u;
      weight_space[weights + matrix_row * WEIGHT_STRIDE + side] = vec4u(
        pack2x16float(vec2f(score_space[at], score_space[at + 1u])),
        pack2x16float(vec2f(score_space[at + 2u], score_space[at + 3u])),
        pack2x16float(vec2f(score_space[at + 4u], score_space[at + 5u])),
        pack2x16float(vec2f(score_space[at + 6u], score_space[at + 7u])));
    }
    // the barrier in it also orders the weights before their use
    if (workgroupUniformLoad(&rescales) != 0u) {
      /* unroll */ for (var s = 0u; s < STEPS; s++) {
        workgroupBarrier();
        subgroupMatrixStore<row_major>(&score_space, scores_at_subgroup, sums[s], SCORE_STRIDE);
        workgroupBarrier();
        if (matrix_row < HEADS) {
          for (var c = 0u; c < 8u; c++) {
            score_space[scores_at_subgroup + matrix_row * SCORE_STRIDE + side * 8u + c] *= shrink_space[subgroup * 16u + matrix_row];
          }
        }
        workgroupBarrier();
        sums[s] = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&score_space, scores_at_subgroup, SCORE_STRIDE);
      }
    }
    let left = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weight_space, weights, WEIGHT_STRIDE);
    /* unroll */ for (var s = 0u; s < STEPS; s++) {
      let right = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&v_tile, tile + s * 2u, ROW_STRIDE);
      sums[s] = subgroupMatrixMultiplyAccumulate(left, right, sums[s]);
    }
  }

  if (ONLY_SCORES) {
    return;
  }
  /* unroll */ for (var i = 0u; i < SIDE_HEADS; i++) {
    let total = sum_of(mass[i]);
    if (token == 0u && first_own + i < HEADS) {
      state_space[subgroup * 8u + first_own + i] = vec4f(top[i], total, weight_top[i], 0f);
    }
  }
  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  let head = thread / 4u;
  let column = thread % 4u * 4u;
  let to = partial + head * params.splits * (PADDED4 + 1u);
  /* unroll */ for (var s = 0u; s < STEPS; s++) {
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&score_space, scores_at_subgroup, sums[s], SCORE_STRIDE);
    workgroupBarrier();
    if (head < HEADS) {
      var largest = LOWEST;
      for (var other = 0u; other < SUBGROUPS; other++) {
        largest = max(largest, state_space[other * 8u + head].x);
      }
      var sum = vec4f();
      var total = 0f;
      for (var other = 0u; other < SUBGROUPS; other++) {
        let state = state_space[other * 8u + head];
        let at = other * SCORE_SPACE + head * SCORE_STRIDE + column;
        total += state.y * exp(state.x - largest);
        let four = vec4f(score_space[at], score_space[at + 2u], score_space[at + 1u], score_space[at + 3u]);
        sum += select(0f, exp(state.z - largest), state.z > LOWEST) * four;
      }
      partials[to + s * 4u + column / 4u] = sum;
      if (s == 0u && column == 0u) {
        partials[to + PADDED4] = vec4f(largest, total, 0f, 0f);
      }
    }
  }
}
