// attend.wgsl for devices without subgroups, or with too small ones: a split's scores in workgroup memory, then its values.
// With: storage and cache-floats or cache-q8, step, reduce (LANES = THREADS), attend-inputs.
// A workgroup takes one split of the tokens for HEADS query heads of one kv head and reads each key and value once.
override SPLIT_TOKENS: u32; // maximum tokens of a split
const HEADS4: u32 = (HEADS + 3u) / 4u;
const VALUE_ROWS: u32 = THREADS / ROW_VECTORS; // values loaded at once
override UNROLL: u32; // values of one invocation in flight
override MIN_SPLIT: u32;

alias QueryElement = f32;

var<workgroup> q_space: array<vec4f, HEADS * PADDED4>;
var<workgroup> score_space: array<vec4f, SPLIT_TOKENS * HEADS4>;
var<workgroup> sum_space: array<vec4f, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = params.first_row + group.z;
  let first_head = group.y * HEADS;
  let kv_head = first_head / GROUP_SIZE;
  let table = PAGE_TABLES + (params.sequence + group.z * params.sequence_step) * MAX_PAGES;
  let of_selection = params.of_selection + group.z * params.sequence_step;
  var length = step[ROW_LENGTHS + row];
  var list = 0u;
  var skipped = 0u; // tokens before the window
  if (SELECTED) {
    let of_set = of_selection * params.groups + first_head * params.groups / QUERY_HEADS;
    length = counts[of_set];
    list = of_set * params.capacity;
  } else if (WINDOWED) {
    skipped = length - min(length, params.window);
    length -= skipped;
  }
  // depends on the row's length alone, so that a row's sums do not depend on the rows beside it
  let split_tokens = clamp((length + params.wanted_splits - 1u) / params.wanted_splits, MIN_SPLIT, SPLIT_TOKENS);
  let begin = min(group.x * split_tokens, length);
  let end = min(begin + split_tokens, length);
  let size = end - begin;

  for (var i = thread; i < HEADS * PADDED4; i += THREADS) {
    let head = first_head + i / PADDED4;
    var q = vec4f();
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      let d = (i % PADDED4) * 4u + k;
      if (d < HEAD_DIM) {
        q[k] = SCALE * query[(row * QUERY_HEADS + head) * HEAD_DIM + d];
      }
    }
    q_space[i] = q;
  }
  workgroupBarrier();

  for (var i = thread; i < size; i += THREADS) {
    var position = skipped + begin + i;
    if (SELECTED) {
      position = indices[list + begin + i];
    }
    let start = start_at(cache_place(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE), 0u);
    var dots: array<f32, HEADS4 * 4u> = array<f32, HEADS4 * 4u>();
    for (var vector = 0u; vector < ROW_VECTORS; vector++) {
      let bits = keys[key_at(start, 0u) + vector];
      let a = low(bits);
      let b = high(bits);
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        dots[h] = fma4(a, q_space[h * PADDED4 + vector * VECTOR_VEC4S], dots[h]);
        if (VECTOR_ELEMENTS == 8u) {
          dots[h] = fma4(b, q_space[h * PADDED4 + vector * VECTOR_VEC4S + VECTOR_VEC4S - 1u], dots[h]);
        }
      }
    }
    if (IS_SCALED) {
      let scale = scales_in(keys[scales_at(start)]).x;
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        dots[h] *= scale;
      }
    }
    /* unroll */ for (var h = 0u; h < HEADS4; h++) {
      score_space[i * HEADS4 + h] = vec4f(dots[h * 4u], dots[h * 4u + 1u], dots[h * 4u + 2u], dots[h * 4u + 3u]);
    }
    if (EMIT_SCORES) {
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        scores[(of_selection * QUERY_HEADS + first_head + h) * params.score_capacity + position]
          = dots[h];
      }
    }
  }
  if (ONLY_SCORES) {
    return;
  }
  workgroupBarrier();

  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  let partial_stride = params.splits * (PADDED4 + 1u);
  /* unroll */ for (var h = 0u; h < HEADS4; h++) {
    var largest = vec4f(LOWEST);
    for (var i = thread; i < size; i += THREADS) {
      largest = max(largest, score_space[i * HEADS4 + h]);
    }
    largest = reduce_max(largest, thread);
    var mass = vec4f();
    for (var i = thread; i < size; i += THREADS) {
      let weight = exp(score_space[i * HEADS4 + h] - largest);
      score_space[i * HEADS4 + h] = weight;
      mass += weight;
    }
    mass = reduce_sum(mass, thread);
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      if (thread == k && h * 4u + k < HEADS) {
        partials[partial + (h * 4u + k) * partial_stride + PADDED4] = vec4f(largest[k], mass[k], 0f, 0f);
      }
    }
  }
  workgroupBarrier();

  let vector = thread % ROW_VECTORS;
  var sums: array<vec4f, HEADS * VECTOR_VEC4S> = array<vec4f, HEADS * VECTOR_VEC4S>();
  if (thread < VALUE_ROWS * ROW_VECTORS) {
    for (var base = thread / ROW_VECTORS; base < size; base += VALUE_ROWS * UNROLL) {
      var bits: array<CacheVector, UNROLL> = array<CacheVector, UNROLL>();
      var scales: array<f32, UNROLL> = array<f32, UNROLL>();
      var starts: array<u32, UNROLL> = array<u32, UNROLL>();
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        var position = skipped + begin + min(base + u * VALUE_ROWS, size - 1u);
        if (SELECTED) {
          position = indices[list + position];
        }
        starts[u] = start_at(cache_place(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE), vector);
      }
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        bits[u] = values[value_at(starts[u], vector)];
        if (IS_SCALED) {
          scales[u] = scales_in(keys[scales_at(starts[u])]).y;
        }
      }
      /* unroll */ for (var u = 0u; u < UNROLL; u++) {
        let i = base + u * VALUE_ROWS;
        if (i < size) {
          let a = low(bits[u]);
          let b = high(bits[u]);
          /* unroll */ for (var h = 0u; h < HEADS; h++) {
            var weight = score_space[i * HEADS4 + h / 4u][h % 4u];
            if (IS_SCALED) {
              weight *= scales[u];
            }
            sums[h * VECTOR_VEC4S] = fma(a, vec4f(weight), sums[h * VECTOR_VEC4S]);
            if (VECTOR_ELEMENTS == 8u) {
              sums[h * VECTOR_VEC4S + VECTOR_VEC4S - 1u] = fma(b, vec4f(weight), sums[h * VECTOR_VEC4S + VECTOR_VEC4S - 1u]);
            }
          }
        }
      }
    }
  }
  /* unroll */ for (var i = 0u; i < HEADS * VECTOR_VEC4S; i++) {
    sum_space[thread] = sums[i];
    workgroupBarrier();
    if (thread < ROW_VECTORS) {
      var total = vec4f();
      for (var r = 0u; r < VALUE_ROWS; r++) {
        total += sum_space[r * ROW_VECTORS + thread];
      }
      partials[partial + (i / VECTOR_VEC4S) * partial_stride + thread * VECTOR_VEC4S + i % VECTOR_VEC4S] = total;
    }
    workgroupBarrier();
  }
}
