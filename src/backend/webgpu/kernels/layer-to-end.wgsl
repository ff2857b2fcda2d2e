// Last stage of the last layer's kernel: none, and no workgroup for it.
fn last_stage(block: u32, thread: u32) {
}
const UNIT_input: u32 = 1u;
