// Prelude: where the fields of the step's input lie (StepLayout in step-buffer.ts).
override TOKEN_IDS: u32;
override SLOTS: u32;
override FIRST_ROWS: u32;
override LENGTHS: u32;
override VALID_BOUNDS: u32; // first position of each sequence without valid key bounds
override ROW_COUNTS: u32;
override ROW_SEQUENCES: u32; // sequence of each row
override ROW_LENGTHS: u32; // tokens that each row attends to: its position + 1
override ROPE: u32; // the layer's table, for keys
override QUERY_ROPE: u32; // for queries
override PAGE_TABLES: u32;
override MAX_PAGES: u32; // of a sequence
override PAGE_SIZE: u32;
override KV_HEADS: u32;
override ROW_VECTORS: u32; // vectors of one key or value of one head

// Number of the key or value of a kv head at an offset of a page. A page holds its tokens head after head.
fn cache_place(page: u32, kv_head: u32, offset: u32) -> u32 {
  return (page * KV_HEADS + kv_head) * PAGE_SIZE + offset;
}

// Its first vector, of rows without scales.
fn cache_row(page: u32, kv_head: u32, offset: u32) -> u32 {
  return cache_place(page, kv_head, offset) * ROW_VECTORS;
}
