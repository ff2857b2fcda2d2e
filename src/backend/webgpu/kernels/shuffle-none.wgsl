// Prelude: a reduce_group is one invocation where there are no subgroups.
override REDUCE_LANES: u32;

fn shuffle_xor(value: f32, width: u32) -> f32 {
  return value;
}
