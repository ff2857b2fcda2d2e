// x[t] = SCALE * embedding[tokenIds[t]]. With: step, and storage with embed-floats or a quantised format as `first` with embed-quantised.
// One workgroup per row.
override COLS: u32;
override STRIDE: u32; // vectors of a weight row
override SCALE: f32;
const FOURS: u32 = (COLS + 3u) / 4u;
const NO_TOKEN: u32 = 0xffffffffu; // sample of a row that cannot be sampled: the request fails, and embeds token 0 meanwhile
const SAMPLED_TOKEN: u32 = 0x80000000u; // a token id with this bit is a row of the last sample

struct Params {
  first_vector: u32, // of the weight slice
  first: u32, // first row of the weight slice
  rows: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> sampled: array<u32>;
var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  var id = step[TOKEN_IDS + row];
  if ((id & SAMPLED_TOKEN) != 0u) {
    id = sampled[id & ~SAMPLED_TOKEN];
    id = select(id, 0u, id == NO_TOKEN);
  }
  if (id < params.first || id >= params.first + params.rows) {
    return;
  }
  let at = params.first_vector + (id - params.first) * STRIDE;
  for (var i = thread; i < FOURS; i += 64u) {
    let four = four_of_row(at, i);
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      if (4u * i + k < COLS) {
        x[row * COLS + 4u * i + k] = SCALE * four[k];
      }
    }
  }
}
