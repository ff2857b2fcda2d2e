// Prelude: a fold is one invocation where there are no subgroups.
override FOLD: u32;

fn of_other(value: f32, width: u32) -> f32 {
  return value;
}
