// x[t] = embedding[tokenIds[t]]. With: storage, step. One workgroup a row.
override COLS: u32;
override STRIDE: u32; // pieces of a weight row
const NO_TOKEN: u32 = 0xffffffffu; // drawn of a row that cannot be drawn: the request fails, token 0 stands in
const DRAWN: u32 = 0x80000000u; // a token id with this bit is the index of a token drawn by the last sample

struct Params {
  piece: u32, // first piece of the part
  first: u32, // first row of the part
  rows: u32,
}
var<uniform> params: Params;
var<storage, read> weights: array<vec4u>;
var<storage, read> step: array<u32>;
var<storage, read> drawn: array<u32>;
var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  var id = step[TOKEN_IDS + row];
  if ((id & DRAWN) != 0u) {
    id = drawn[id & ~DRAWN];
    id = select(id, 0u, id == NO_TOKEN);
  }
  if (id < params.first || id >= params.first + params.rows) {
    return;
  }
  let at = params.piece + (id - params.first) * STRIDE;
  for (var piece = thread; piece < STRIDE; piece += 64u) {
    let bits = weights[at + piece];
    let a = low(bits);
    let b = high(bits);
    for (var i = 0u; i < PIECE; i++) {
      let col = piece * PIECE + i;
      if (col < COLS) {
        var value = 0f;
        if (i < 4u) {
          value = a[i];
        } else {
          value = b[i - 4u];
        }
        x[row * COLS + col] = value;
      }
    }
  }
}
