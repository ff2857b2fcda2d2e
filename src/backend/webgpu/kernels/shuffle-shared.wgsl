// Prelude: exchange within a reduce group by workgroup memory, without subgroups. Every invocation of the workgroup must call it,
// after `begin_shuffles`.
override THREADS: u32;
override REDUCE_LANES: u32; // a power of two

var<private> shuffle_thread: u32;
var<workgroup> shuffle_space: array<f32, THREADS>;

fn begin_shuffles(thread: u32) {
  shuffle_thread = thread;
}

// The value of the invocation whose index differs in the bit `width`, a power of two below REDUCE_LANES.
fn shuffle_xor(value: f32, width: u32) -> f32 {
  workgroupBarrier();
  shuffle_space[shuffle_thread] = value;
  workgroupBarrier();
  return shuffle_space[shuffle_thread ^ width];
}
