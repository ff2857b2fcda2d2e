// Prelude: exclusive prefix sums over the invocations of a workgroup, without subgroups.
override THREADS: u32;
override SUBGROUP: u32; // size of every subgroup; 0 if they differ
override MIN_SUBGROUP: u32;

var<workgroup> scan_space: array<u32, THREADS>;
var<workgroup> scan_total: u32;
var<workgroup> places: atomic<u32>; // counter of place_of

// Exclusive prefix sum. Every invocation must call it, and then scan_sum.
fn scan(value: u32, thread: u32) -> u32 {
  scan_space[thread] = value;
  for (var width = 1u; width < THREADS; width *= 2u) {
    workgroupBarrier();
    var sum = scan_space[thread];
    if (thread >= width) {
      sum += scan_space[thread - width];
    }
    workgroupBarrier();
    scan_space[thread] = sum;
  }
  let sum = scan_space[thread];
  if (thread == THREADS - 1u) {
    scan_total = sum;
  }
  return sum - value;
}

// Total of the last scan; uniform.
fn scan_sum() -> u32 {
  return workgroupUniformLoad(&scan_total);
}

// The next place of `places` for each invocation that asks; 0xffffffff for the others.
fn place_of(is_asking: bool, thread: u32) -> u32 {
  if (is_asking) {
    return atomicAdd(&places, 1u);
  }
  return 0xffffffffu;
}
