// Prelude: exclusive prefix sums over the invocations of a workgroup, by subgroups.
enable subgroups;
override THREADS: u32;
override SUBGROUP: u32; // size of every subgroup; 0 if they differ
override MIN_SUBGROUP: u32;

var<workgroup> scan_space: array<u32, THREADS / MIN_SUBGROUP>;
var<workgroup> scan_total: u32;
var<workgroup> places: atomic<u32>; // counter of place_of

// Exclusive prefix sum. Every invocation must call it, and then scan_sum.
fn scan(value: u32, thread: u32) -> u32 {
  let subgroup_size = subgroupAdd(1u);
  let before = subgroupExclusiveAdd(value);
  if (thread % subgroup_size == subgroup_size - 1u) {
    scan_space[thread / subgroup_size] = before + value;
  }
  workgroupBarrier();
  var sum = before;
  if (THREADS <= SUBGROUP * SUBGROUP) {
    // each subgroup scans the sums of all subgroups
    const size = max(SUBGROUP, 1u);
    var earlier_sum = 0u;
    if (thread % size < THREADS / size) {
      earlier_sum = scan_space[thread % size];
    }
    sum += subgroupShuffle(subgroupExclusiveAdd(earlier_sum), thread / size);
  } else {
    for (var i = 0u; i < thread / subgroup_size; i++) {
      sum += scan_space[i];
    }
  }
  if (thread == THREADS - 1u) {
    scan_total = sum + value;
  }
  return sum;
}

// Total of the last scan; uniform.
fn scan_sum() -> u32 {
  return workgroupUniformLoad(&scan_total);
}

// The next place of `places` for each invocation that asks; 0xffffffff for the others. Every invocation must call it.
fn place_of(is_asking: bool, thread: u32) -> u32 {
  var place = 0xffffffffu;
  if (SUBGROUP == 32u) {
    // one atomic addition a subgroup
    let asking = subgroupBallot(is_asking).x;
    var start = 0u;
    if (thread % 32u == 0u && asking != 0u) {
      start = atomicAdd(&places, countOneBits(asking));
    }
    start = subgroupBroadcastFirst(start);
    if (is_asking) {
      place = start + countOneBits(asking & ((1u << (thread % 32u)) - 1u));
    }
  } else if (is_asking) {
    place = atomicAdd(&places, 1u);
  }
  return place;
}
