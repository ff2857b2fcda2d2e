// First stage of the layer kernel where attention needs no combine: posts it to the mailbox. With: layer-core.
var<storage, read> attended: array<f32>;

fn first_stage(block: u32, thread: u32) {
  let at = block * THREADS + thread;
  if (at < QUERY_HEADS * HEAD_DIM) {
    post(params.mailbox + mailbox_place(at), attended[at]);
  }
}
