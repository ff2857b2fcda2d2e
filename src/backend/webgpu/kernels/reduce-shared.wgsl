// Prelude: reductions over thread groups of LANES consecutive invocations, without subgroups. LANES is a power of two.
override THREADS: u32;
override LANES: u32;
override SUBGROUP: u32; // size of every subgroup; 0 if they differ
override MIN_SUBGROUP: u32;

var<workgroup> reduce_space: array<vec4f, THREADS>;

// The sum over the caller's thread group, in each of its invocations. Every invocation of the workgroup must call it.
fn reduce_sum(value: vec4f, thread: u32) -> vec4f {
  reduce_space[thread] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread % LANES < width) {
      reduce_space[thread] += reduce_space[thread + width];
    }
  }
  workgroupBarrier();
  let total = reduce_space[thread / LANES * LANES];
  workgroupBarrier();
  return total;
}

fn reduce_max(value: vec4f, thread: u32) -> vec4f {
  reduce_space[thread] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread % LANES < width) {
      reduce_space[thread] = max(reduce_space[thread], reduce_space[thread + width]);
    }
  }
  workgroupBarrier();
  let total = reduce_space[thread / LANES * LANES];
  workgroupBarrier();
  return total;
}
