// First stage of the layer kernel without a combine: posts the output of attention to the mailbox. With: layer-core.
var<storage, read> attended: array<f32>;

fn first_stage(block: u32, thread: u32) {
  let at = block * THREADS + thread;
  if (at < QUERY_HEADS * HEAD_DIM) {
    post(params.mailbox + mailbox_place(at, UNIT_o), attended[at]);
  }
}
