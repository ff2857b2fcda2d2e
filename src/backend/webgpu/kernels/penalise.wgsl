// Repetition penalty: multiplies negative logits of seen tokens, divides others. Logits that are not finite stay as they are.
// One invocation a token.
struct Row {
  row: u32,
  vocab: u32,
  first: u32, // of the row's tokens in `seen`
  count: u32,
  penalty: f32,
}
var<storage, read> rows: array<Row>;
var<storage, read> seen: array<u32>;
var<storage, read_write> logits: array<u32>; // f32 bits

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = rows[id.y];
  if (id.x >= row.count) {
    return;
  }
  let at = row.row * row.vocab + seen[row.first + id.x];
  let bits = logits[at];
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    return;
  }
  let logit = bitcast<f32>(bits);
  logits[at] = bitcast<u32>(select(logit / row.penalty, logit * row.penalty, logit < 0f));
}
