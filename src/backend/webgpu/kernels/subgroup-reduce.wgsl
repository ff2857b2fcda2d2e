enable subgroups;
// Prelude: values of other invocations of a fold, FOLD neighbours within a subgroup.
override FOLD: u32; // a power of two, at most the least size of a subgroup

// The value of the invocation whose number differs by the bits of `width`, a power of two below FOLD.
fn of_other(value: f32, width: u32) -> f32 {
  return subgroupShuffleXor(value, width);
}
