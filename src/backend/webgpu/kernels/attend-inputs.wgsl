// Prelude of split-KV attention of single rows: the inputs of its kernels. The kernel declares QueryElement, the element type in
// which it reads queries. With: storage and cache-floats or cache-q8, step.
override HEADS: u32; // query heads of a workgroup; they share a kv head
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override SCALE: f32;
override SELECTED: bool; // attends to a token selection
override WINDOWED: bool; // attends to the last params.window tokens
override EMIT_SCORES: bool; // the scores of all query heads go out
override ONLY_SCORES: bool;
const GROUP_SIZE: u32 = QUERY_HEADS / KV_HEADS;
const PADDED: u32 = ROW_VECTORS * VECTOR_ELEMENTS;
const PADDED4: u32 = PADDED / 4u;
const LOWEST: f32 = -3e38;

struct Params {
  first_row: u32,
  sequence: u32, // of the first row
  sequence_step: u32, // from row to row
  of_selection: u32, // row of the selection and of the scores that belongs to the first sequence
  groups: u32, // of the selection
  capacity: u32, // of a list of the selection
  score_capacity: u32,
  splits: u32, // stride of the partials
  wanted_splits: u32, // of a row
  window: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<QueryElement>;
var<storage, read> keys: array<CacheVector>;
var<storage, read> values: array<CacheVector>;
var<storage, read> indices: array<u32>;
var<storage, read> counts: array<u32>;
var<storage, read_write> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]
var<storage, read_write> scores: array<f32>;
