enable subgroups;
// Prelude: values of other invocations of a reduce_group, REDUCE_LANES neighbours within a subgroup.
override REDUCE_LANES: u32; // a power of two, at most the least size of a subgroup

// The value of the invocation whose number differs by the bits of `width`, a power of two below REDUCE_LANES.
fn shuffle_xor(value: f32, width: u32) -> f32 {
  return subgroupShuffleXor(value, width);
}
