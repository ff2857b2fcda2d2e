// Prelude: sums over teams of LANES consecutive invocations, without subgroups. LANES is a power of two.
override THREADS: u32;
override LANES: u32;
override SUBGROUP: u32; // size of every subgroup; 0 where they differ
override MIN_SUBGROUP: u32;

var<workgroup> team_space: array<vec4f, THREADS>;

// The sum over the caller's team, in each of its invocations. Every invocation of the workgroup must call it.
fn team_sum(value: vec4f, thread: u32) -> vec4f {
  team_space[thread] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread % LANES < width) {
      team_space[thread] += team_space[thread + width];
    }
  }
  workgroupBarrier();
  let total = team_space[thread / LANES * LANES];
  workgroupBarrier();
  return total;
}

fn team_max(value: vec4f, thread: u32) -> vec4f {
  team_space[thread] = value;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread % LANES < width) {
      team_space[thread] = max(team_space[thread], team_space[thread + width]);
    }
  }
  workgroupBarrier();
  let total = team_space[thread / LANES * LANES];
  workgroupBarrier();
  return total;
}
