enable subgroups;
// Prelude: sums over teams of LANES consecutive invocations, by subgroups. LANES is a multiple of the subgroup size.
override THREADS: u32;
override LANES: u32;
override SUBGROUP: u32; // size of every subgroup; 0 where they differ
override MIN_SUBGROUP: u32;

var<workgroup> team_space: array<vec4f, THREADS / MIN_SUBGROUP>;

// The sum over the caller's team, in each of its invocations. Every invocation of the workgroup must call it.
fn team_sum(value: vec4f, thread: u32) -> vec4f {
  let subgroup_size = subgroupAdd(1u);
  let sum = subgroupAdd(value);
  if (thread % subgroup_size == 0u) {
    team_space[thread / subgroup_size] = sum;
  }
  workgroupBarrier();
  let parts = LANES / subgroup_size;
  var total = vec4f();
  for (var i = thread % subgroup_size; i < parts; i += subgroup_size) {
    total += team_space[thread / LANES * parts + i];
  }
  total = subgroupAdd(total);
  workgroupBarrier();
  return total;
}

fn team_max(value: vec4f, thread: u32) -> vec4f {
  let subgroup_size = subgroupAdd(1u);
  let largest = subgroupMax(value);
  if (thread % subgroup_size == 0u) {
    team_space[thread / subgroup_size] = largest;
  }
  workgroupBarrier();
  let parts = LANES / subgroup_size;
  var total = largest;
  for (var i = thread % subgroup_size; i < parts; i += subgroup_size) {
    total = max(total, team_space[thread / LANES * parts + i]);
  }
  total = subgroupMax(total);
  workgroupBarrier();
  return total;
}
