// Prelude: the largest of many numbers as pairs in workgroup memory: a threshold estimated from a sample, and a bitonic sort.
// With: reduce (LANES = THREADS), keys.
override SPACE: u32; // pairs in workgroup memory

var<workgroup> pairs: array<vec2u, SPACE>; // position, key

fn pair_at(i: u32) -> vec2u {
  return pairs[min(i, SPACE - 1u)];
}

fn set_pair(i: u32, pair: vec2u) {
  pairs[min(i, SPACE - 1u)] = pair;
}

// A key that slightly more than `count` of `size` numbers reach, estimated from one sample an invocation.
fn sampled_threshold(sample: u32, count: u32, size: u32, thread: u32) -> u32 {
  let expected = f32(THREADS) * f32(count) / f32(size);
  // three deviations above the count, but no closer to the space than to the count
  let wanted = min(expected + 3f * sqrt(expected) + 1f, f32(THREADS) * 0.5f * f32(count + SPACE) / f32(size));
  var threshold = 0u;
  for (var round = 0u; round < 8u; round++) {
    let shift = 30u - 2u * round;
    let digits = vec3u(threshold) | (vec3u(1u, 2u, 3u) << vec3u(shift));
    let counts = reduce_sum(vec4f(select(vec3f(), vec3f(1f), vec3u(sample) >= digits), 0f), thread);
    threshold |= (u32(counts.x >= wanted) + u32(counts.y >= wanted) + u32(counts.z >= wanted)) << shift;
  }
  return threshold;
}

// Sorts the first `size` pairs (uniform): key descending, ties to the lower position.
fn sort_pairs(size: u32, thread: u32) {
  var whole = 2u;
  for (; whole < size; whole *= 2u) {
  }
  for (var i = size + thread; i < whole; i += THREADS) {
    set_pair(i, vec2u(0xffffffffu, 0u)); // sorts last
  }
  for (var run = 2u; run <= whole; run *= 2u) {
    for (var gap = run / 2u; gap > 0u; gap /= 2u) {
      workgroupBarrier();
      for (var i = thread; i < whole / 2u; i += THREADS) {
        let a = (i & ~(gap - 1u)) * 2u + (i & (gap - 1u));
        let x = pair_at(a);
        let y = pair_at(a + gap);
        if (comes_first(y, x) == ((a & run) == 0u)) {
          set_pair(a, y);
          set_pair(a + gap, x);
        }
      }
    }
  }
  workgroupBarrier();
}
