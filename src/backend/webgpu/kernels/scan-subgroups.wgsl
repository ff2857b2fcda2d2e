// Prelude: sums over all earlier invocations of the workgroup, by subgroups.
const THREADS: u32 = 256u;

var<workgroup> scan_space: array<u32, THREADS / 4u>;
var<workgroup> scan_total: u32;

// The sum of value over the invocations before this one. Every invocation must call it, and then scan_sum.
fn scan(value: u32, thread: u32) -> u32 {
  let subgroup_size = subgroupAdd(1u);
  let before = subgroupExclusiveAdd(value);
  if (thread % subgroup_size == subgroup_size - 1u) {
    scan_space[thread / subgroup_size] = before + value;
  }
  workgroupBarrier();
  var sum = 0u;
  for (var i = 0u; i < thread / subgroup_size; i++) {
    sum += scan_space[i];
  }
  sum += before;
  if (thread == THREADS - 1u) {
    scan_total = sum + value;
  }
  return sum;
}

// The sum over all of the last scan, known to be the same for all.
fn scan_sum() -> u32 {
  return workgroupUniformLoad(&scan_total);
}
