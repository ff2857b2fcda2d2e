// The first stage of a chain: partial sums of attention are brought together, a workgroup for each query head. With:
// chain-core, merge-core.
fn put_channel(head: u32, channel: u32, value: f32) {
  post(params.mailbox + mailbox_place(head * HEAD_DIM + channel), value);
}

fn first_stage(block: u32, thread: u32) {
  combine_splits(block, params.splits, thread);
}
