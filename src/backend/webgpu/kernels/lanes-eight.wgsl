// Prelude: eight neighbouring invocations share a key (ROW_LANES = 8); subgroups have at least 8.
fn lanes_sum(value: f32) -> f32 {
  var sum = value;
  sum += subgroupShuffleXor(sum, 1u);
  sum += subgroupShuffleXor(sum, 2u);
  sum += subgroupShuffleXor(sum, 4u);
  return sum;
}
