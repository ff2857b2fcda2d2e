// Adds numbers to the logits of tokens; -Infinity bans a token. Logits that are not finite stay as they are.
// One invocation a token.
struct Row {
  row: u32,
  vocab: u32,
  first: u32, // of the row's tokens in `ids` and `values`
  count: u32,
}
var<storage, read> rows: array<Row>;
var<storage, read> ids: array<u32>;
var<storage, read> values: array<u32>; // f32 bits
var<storage, read_write> logits: array<u32>; // f32 bits

const MASK: u32 = 0xff800000u; // bits of -Infinity

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = rows[id.y];
  if (id.x >= row.count) {
    return;
  }
  let at = row.row * row.vocab + ids[row.first + id.x];
  let bits = logits[at];
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    return;
  }
  let value = values[row.first + id.x];
  if (value == MASK) {
    logits[at] = MASK;
  } else {
    logits[at] = bitcast<u32>(bitcast<f32>(bits) + bitcast<f32>(value));
  }
}
