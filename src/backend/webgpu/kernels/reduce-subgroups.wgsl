// Prelude: reductions over thread groups of LANES consecutive invocations, by subgroups. LANES is a multiple of the subgroup
// size.
enable subgroups;
override THREADS: u32;
override LANES: u32;
override SUBGROUP: u32; // size of every subgroup; 0 if they differ
override MIN_SUBGROUP: u32;

var<workgroup> reduce_space: array<vec4f, THREADS / MIN_SUBGROUP>;

// The sum over the caller's thread group, in each of its invocations. Every invocation of the workgroup must call it.
fn reduce_sum(value: vec4f, thread: u32) -> vec4f {
  let subgroup_size = subgroupAdd(1u);
  let sum = subgroupAdd(value);
  if (thread % subgroup_size == 0u) {
    reduce_space[thread / subgroup_size] = sum;
  }
  workgroupBarrier();
  let subgroups = LANES / subgroup_size;
  var total = vec4f();
  for (var i = thread % subgroup_size; i < subgroups; i += subgroup_size) {
    total += reduce_space[thread / LANES * subgroups + i];
  }
  total = subgroupAdd(total);
  workgroupBarrier();
  return total;
}

fn reduce_max(value: vec4f, thread: u32) -> vec4f {
  let subgroup_size = subgroupAdd(1u);
  let largest = subgroupMax(value);
  if (thread % subgroup_size == 0u) {
    reduce_space[thread / subgroup_size] = largest;
  }
  workgroupBarrier();
  let subgroups = LANES / subgroup_size;
  var total = largest;
  for (var i = thread % subgroup_size; i < subgroups; i += subgroup_size) {
    total = max(total, reduce_space[thread / LANES * subgroups + i]);
  }
  total = subgroupMax(total);
  workgroupBarrier();
  return total;
}
