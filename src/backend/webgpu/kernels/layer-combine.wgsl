// First stage of the layer kernel: combines split-KV partials, a workgroup for each query head. With: layer-core, combine-core.
fn put_channel(head: u32, channel: u32, value: f32) {
  post(params.mailbox + mailbox_place(head * HEAD_DIM + channel, UNIT_o), value);
}

fn first_stage(block: u32, thread: u32) {
  combine_splits(block, params.splits, thread);
}
