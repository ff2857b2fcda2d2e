// Prelude: where the parts of the step's input stand (StepLayout in step-buffer.ts).
override TOKEN_IDS: u32;
override SLOTS: u32;
override FIRST_ROWS: u32;
override LENGTHS: u32;
override ROW_COUNTS: u32;
override ROW_SEQUENCES: u32; // the sequence of each row
override ROW_LENGTHS: u32; // what each row sees: its position + 1
override ROPE: u32;
override PAGE_TABLES: u32;
override MAX_PAGES: u32; // of a sequence
override PAGE_SIZE: u32;
override KV_HEADS: u32;
override ROW_PIECES: u32; // pieces of one key or value of one head

// The piece at which the key or value of a kv head at a position of a sequence begins. A page holds, head after head,
// its tokens one after another.
fn cache_row(page: u32, kv_head: u32, offset: u32) -> u32 {
  return ((page * KV_HEADS + kv_head) * PAGE_SIZE + offset) * ROW_PIECES;
}
