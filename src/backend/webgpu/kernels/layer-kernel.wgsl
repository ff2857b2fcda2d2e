// The persistent layer kernel. With: layer-core, a first stage (layer-combine or layer-copy) and a last one (layer-to-heads,
// layer-to-rows or layer-to-end).
@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let number = begin(group.x, groups.x, thread);
  if (number < FIRST_WORKGROUPS) {
    first_stage(number, thread);
  } else if (number < FIRST_WORKGROUPS + O_WORKGROUPS) {
    attention_output(number - FIRST_WORKGROUPS, thread);
  } else if (number < FIRST_WORKGROUPS + O_WORKGROUPS + GATE_UP_WORKGROUPS) {
    gate_up(number - FIRST_WORKGROUPS - O_WORKGROUPS, thread);
  } else if (number < FIRST_WORKGROUPS + O_WORKGROUPS + GATE_UP_WORKGROUPS + DOWN_WORKGROUPS) {
    down(number - FIRST_WORKGROUPS - O_WORKGROUPS - GATE_UP_WORKGROUPS, thread);
  } else {
    last_stage(number - FIRST_WORKGROUPS - O_WORKGROUPS - GATE_UP_WORKGROUPS - DOWN_WORKGROUPS, thread);
  }
}
