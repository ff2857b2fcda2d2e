// The last stage of the last layer's chain: there is none, and no workgroup for it.
fn last_stage(block: u32, thread: u32) {
}
