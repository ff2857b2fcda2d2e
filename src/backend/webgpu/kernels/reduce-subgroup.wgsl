// Prelude: sums over teams that are a subgroup each: LANES is the size of every subgroup.
const THREADS: u32 = 256u;
const LANES: u32 = 32u;
const SUBGROUP: u32 = 0u; // size of every subgroup; 0 where they differ
const MIN_SUBGROUP: u32 = 4u;

// The sum over the caller's team, in each of its invocations. Every invocation of the team must call it.
fn team_sum(value: vec4f, thread: u32) -> vec4f {
  return subgroupAdd(value);
}

fn team_max(value: vec4f, thread: u32) -> vec4f {
  return subgroupMax(value);
}
