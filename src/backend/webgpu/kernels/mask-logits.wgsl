// Makes the logits of tokens whose bit is 0 -Infinity. NaN and +Infinity stay, so that their row gives NO_TOKEN.
// One invocation a token.
struct Params {
  vocab: u32,
  words: u32, // of a mask
}
var<uniform> params: Params;
var<storage, read> masked: array<u32>; // the row of each mask
var<storage, read> masks: array<u32>; // [masks, words]
var<storage, read_write> logits: array<u32>; // f32 bits

const MASK: u32 = 0xff800000u; // bits of -Infinity

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.vocab) {
    return;
  }
  let word = masks[id.y * params.words + id.x / 32u];
  if (((word >> (id.x % 32u)) & 1u) == 1u) {
    return;
  }
  let at = masked[id.y] * params.vocab + id.x;
  let bits = logits[at];
  let is_kept = (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
  if (!is_kept) {
    logits[at] = MASK;
  }
}
