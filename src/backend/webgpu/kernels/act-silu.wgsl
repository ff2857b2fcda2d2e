// Prelude: the activation of a gate.
fn act(v: f32) -> f32 {
  return v / (1f + exp(-v));
}
