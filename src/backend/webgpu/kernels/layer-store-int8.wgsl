// Where layer-to-heads.wgsl stores keys and values of a q8 cache: in the mailbox, from which a workgroup more for each head takes
// its row, since the scale depends on all of it. With: layer-core, step, reduce (LANES = THREADS), int8-rows.
const HEADS_MAILBOX: u32 = ATTENDED_WORDS + 2u * HIDDEN_WORDS + GATED_WORDS;
const STORES_HEADS: bool = true;

var<storage, read_write> keys: array<u32>;
var<storage, read_write> values: array<u32>;

var<workgroup> row_space: array<f32, ROW_VECTORS * 8u>;

fn cached_at(kind: u32, head: u32) -> u32 {
  return params.mailbox + HEADS_MAILBOX + ((kind - 1u) * KV_HEADS + head) * HEAD_DIM;
}

fn store_two(kind: u32, at: u32, pair: vec2f) {
  post(at, pair.x);
  post(at + 1u, pair.y);
}

// Heads of keys, then of values.
fn store_head(block: u32, thread: u32) {
  let is_key = block < KV_HEADS;
  let slot = step[SLOTS];
  let place = cache_place(slot / PAGE_SIZE, block % KV_HEADS, slot % PAGE_SIZE);
  let origin = params.mailbox + HEADS_MAILBOX + block * HEAD_DIM;
  var largest = vec4f();
  for (var i = thread; i < ROW_VECTORS * 8u; i += THREADS) {
    var value = 0f;
    if (i < HEAD_DIM) {
      value = receive(UNSET, origin + i);
    }
    row_space[i] = value;
    largest = max(largest, magnitude(value));
  }
  largest = reduce_max(largest, thread);
  let scale = scale_of_row(largest);
  // a key's row ends in the scales of key and value
  let key_row = place * (ROW_VECTORS + 1u) * 2u;
  for (var i = thread; i < ROW_VECTORS * 2u; i += THREADS) {
    var word = 0u;
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      word |= int8_of(row_space[4u * i + k], scale) << (8u * k);
    }
    if (is_key) {
      keys[key_row + i] = word;
    } else {
      values[place * ROW_VECTORS * 2u + i] = word;
    }
  }
  if (thread == 0u) {
    keys[key_row + ROW_VECTORS * 2u + select(1u, 0u, is_key)] = scale_bits(largest);
  }
}
