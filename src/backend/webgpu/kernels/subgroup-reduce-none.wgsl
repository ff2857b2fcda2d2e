// Prelude: a fold is one invocation where there are no subgroups.
const FOLD: u32 = 1u;

fn of_other(value: f32, width: u32) -> f32 {
  return value;
}
