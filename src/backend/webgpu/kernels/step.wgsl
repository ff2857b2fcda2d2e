// Prelude: where the parts of the step's input stand (StepLayout in step-buffer.ts).
const TOKEN_IDS: u32 = 0u;
const SLOTS: u32 = 0u;
const FIRST_ROWS: u32 = 0u;
const LENGTHS: u32 = 0u;
const BOUNDS_FROM: u32 = 0u; // position of each sequence from which key bounds are stale
const ROW_COUNTS: u32 = 0u;
const ROW_SEQUENCES: u32 = 0u; // the sequence of each row
const ROW_LENGTHS: u32 = 0u; // what each row sees: its position + 1
const ROPE: u32 = 0u;
const PAGE_TABLES: u32 = 0u;
const MAX_PAGES: u32 = 1u; // of a sequence
const PAGE_SIZE: u32 = 16u;
const KV_HEADS: u32 = 1u;
const ROW_PIECES: u32 = 1u; // pieces of one key or value of one head

// The piece at which the key or value of a kv head at a position of a sequence begins. A page holds, head after head,
// its tokens one after another.
fn cache_row(page: u32, kv_head: u32, offset: u32) -> u32 {
  return ((page * KV_HEADS + kv_head) * PAGE_SIZE + offset) * ROW_PIECES;
}
