// Prelude of finish-heads.wgsl: nobody reads the heads before RoPE.
fn store_raw(row: u32, head: u32, i: u32, value: f32) {
}
