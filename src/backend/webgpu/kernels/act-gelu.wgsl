// Prelude: the activation of a gate, GELU by its tanh formula: v / (1 + e^-2u), u = √(2/π) (v + 0.044715 v³).
fn act(v: f32) -> f32 {
  return v / (1f + exp(-1.5957691216057308f * fma(0.044715f * v * v, v, v)));
}
