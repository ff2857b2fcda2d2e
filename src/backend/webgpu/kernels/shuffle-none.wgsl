// Prelude: without subgroups a reduce group is one invocation.
override REDUCE_LANES: u32;

fn shuffle_xor(value: f32, width: u32) -> f32 {
  return value;
}
