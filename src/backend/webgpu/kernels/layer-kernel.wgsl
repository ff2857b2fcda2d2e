// The persistent layer kernel. With: layer-core, a first stage (layer-combine or layer-copy) and a last one (layer-to-heads,
// layer-to-rows or layer-to-end).
@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let number = begin(group.x, groups.x, thread);
  if (number < FIRST_BLOCKS) {
    first_stage(number, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS) {
    attention_output(number - FIRST_BLOCKS, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS + FEED_BLOCKS) {
    feed(number - FIRST_BLOCKS - O_BLOCKS, thread);
  } else if (number < FIRST_BLOCKS + O_BLOCKS + FEED_BLOCKS + DOWN_BLOCKS) {
    down(number - FIRST_BLOCKS - O_BLOCKS - FEED_BLOCKS, thread);
  } else {
    last_stage(number - FIRST_BLOCKS - O_BLOCKS - FEED_BLOCKS - DOWN_BLOCKS, thread);
  }
}
