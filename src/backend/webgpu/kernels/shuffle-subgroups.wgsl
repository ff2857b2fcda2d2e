// Prelude: exchange within a reduce group, REDUCE_LANES consecutive invocations of a subgroup.
enable subgroups;
override REDUCE_LANES: u32; // a power of two, at most the least size of a subgroup

// The value of the invocation whose index differs in the bit `width`, a power of two below REDUCE_LANES.
fn shuffle_xor(value: f32, width: u32) -> f32 {
  return subgroupShuffleXor(value, width);
}

fn begin_shuffles(thread: u32) {
}
