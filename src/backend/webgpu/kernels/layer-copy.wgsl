// The first stage of a chain where what was attended is there already. With: chain-core.
var<storage, read> attended: array<f32>;

fn first_stage(block: u32, thread: u32) {
  let at = block * THREADS + thread;
  if (at < QUERY_HEADS * HEAD_DIM) {
    set_link(params.links + link_place(at), attended[at]);
  }
}
