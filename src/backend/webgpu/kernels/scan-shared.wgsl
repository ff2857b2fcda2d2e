// Prelude: sums over all earlier invocations of the workgroup, without subgroups.
override THREADS: u32;
override SUBGROUP: u32; // size of every subgroup; 0 where they differ
override MIN_SUBGROUP: u32;

var<workgroup> scan_space: array<u32, THREADS>;
var<workgroup> scan_total: u32;
var<workgroup> places: atomic<u32>; // given out by place_of

// The sum of value over the invocations before this one. Every invocation must call it, and then scan_sum.
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

// The sum over all of the last scan, known to be the same for all.
fn scan_sum() -> u32 {
  return workgroupUniformLoad(&scan_total);
}

// A place of its own for each invocation that asks for one, counted by `places`; 0xffffffff for the others.
fn place_of(is_asking: bool, thread: u32) -> u32 {
  if (is_asking) {
    return atomicAdd(&places, 1u);
  }
  return 0xffffffffu;
}
