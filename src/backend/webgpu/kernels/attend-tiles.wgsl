// Causal prefill attention of many rows of one sequence over everything cached, by tiles: each key and value in workgroup memory
// serves BLOCK rows. With: storage and cache-floats or cache-q8, step.
// A workgroup of 256 computes BLOCK rows of one query head, BLOCK keys per turn, with a running softmax: scores of 2 × 2 per
// invocation over strips of channels, then sums of values by SIDE invocations per row.
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override SCALE: f32;
override WINDOWED: bool; // a row attends to the last params.window tokens up to its own
override VALUE_KEYS: u32; // values in workgroup memory at once; a divisor of BLOCK
const BLOCK: u32 = 32u;
const STRIP4: u32 = 4u; // vec4s of a strip of channels
const STRIP_STRIDE: u32 = STRIP4 + 1u; // padded against bank conflicts
const PADDED4: u32 = ROW_VECTORS * VECTOR_VEC4S;
const STRIPS: u32 = (PADDED4 + STRIP4 - 1u) / STRIP4;
const SIDE: u32 = 8u; // threads of a row
const ROW_KEYS: u32 = BLOCK / SIDE; // scores of a thread in the softmax
const COLUMNS: u32 = (PADDED4 + SIDE - 1u) / SIDE; // vec4s of the output of a thread
const LOWEST: f32 = -3e38;

struct Params {
  first_row: u32,
  rows: u32,
  sequence: u32,
  window: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> keys: array<CacheVector>;
var<storage, read> values: array<CacheVector>;
var<storage, read_write> out: array<f32>;

var<workgroup> q_tile: array<vec4f, BLOCK * STRIP_STRIDE>;
var<workgroup> k_tile: array<vec4f, BLOCK * STRIP_STRIDE>;
var<workgroup> v_tile: array<vec4f, VALUE_KEYS * PADDED4>;
var<workgroup> score_tile: array<f32, BLOCK * (BLOCK + 1u)>;
var<workgroup> row_space: array<f32, BLOCK * SIDE>;

fn query_at(row: u32, head: u32, column: u32) -> vec4f {
  var q = vec4f();
  /* unroll */ for (var k = 0u; k < 4u; k++) {
    let d = column * 4u + k;
    if (d < HEAD_DIM) {
      q[k] = SCALE * query[(row * QUERY_HEADS + head) * HEAD_DIM + d];
    }
  }
  return q;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.y;
  let kv_head = head / (QUERY_HEADS / KV_HEADS);
  let table = PAGE_TABLES + params.sequence * MAX_PAGES;
  let first = group.x * BLOCK; // among the sequence's rows
  let last = min(first + BLOCK, params.rows) - 1u;
  let row0 = params.first_row + first;
  let end = step[ROW_LENGTHS + params.first_row + last]; // tokens that the last row attends to
  let start = end - (last - first + 1u); // position of the first row
  var origin = 0u; // first key that the first row attends to
  if (WINDOWED) {
    origin = start + 1u - min(start + 1u, params.window);
  }
  let tx = thread % 16u;
  let ty = thread / 16u;
  let my_row = thread / SIDE;
  let side = thread % SIDE;

  var top = LOWEST;
  var mass = 0f;
  var sums: array<vec4f, COLUMNS> = array<vec4f, COLUMNS>();
  for (var base = origin; base < end; base += BLOCK) {
    var dots: array<f32, 4> = array<f32, 4>();
    for (var strip = 0u; strip < STRIPS; strip++) {
      if (thread < BLOCK * STRIP4) {
        let r = thread / STRIP4;
        let column = strip * STRIP4 + thread % STRIP4;
        var q = vec4f();
        var k = vec4f();
        if (column < PADDED4) {
          q = query_at(row0 + min(r, last - first), head, column);
          let position = min(base + r, end - 1u);
          let vector = column / VECTOR_VEC4S;
          let place = start_at(cache_place(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE), vector);
          let bits = keys[key_at(place, vector)];
          k = low(bits);
          if (VECTOR_ELEMENTS == 8u && column % 2u == 1u) {
            k = high(bits);
          }
          if (IS_SCALED) {
            k *= scales_in(keys[scales_at(place)]).x;
          }
        }
        q_tile[r * STRIP_STRIDE + thread % STRIP4] = q;
        k_tile[r * STRIP_STRIDE + thread % STRIP4] = k;
      }
      workgroupBarrier();
      /* unroll */ for (var c = 0u; c < STRIP4; c++) {
        let q0 = q_tile[ty * STRIP_STRIDE + c];
        let q1 = q_tile[(ty + 16u) * STRIP_STRIDE + c];
        let k0 = k_tile[tx * STRIP_STRIDE + c];
        let k1 = k_tile[(tx + 16u) * STRIP_STRIDE + c];
        dots[0] = fma4(q0, k0, dots[0]);
        dots[1] = fma4(q0, k1, dots[1]);
        dots[2] = fma4(q1, k0, dots[2]);
        dots[3] = fma4(q1, k1, dots[3]);
      }
      workgroupBarrier();
    }
    /* unroll */ for (var i = 0u; i < 4u; i++) {
      let r = ty + i / 2u * 16u;
      let key = tx + i % 2u * 16u;
      var is_seen = base + key <= start + r;
      if (WINDOWED) {
        is_seen = is_seen && base + key + params.window > start + r;
      }
      score_tile[r * (BLOCK + 1u) + key] = select(LOWEST, dots[i], is_seen);
    }
    workgroupBarrier();

    var largest = LOWEST;
    /* unroll */ for (var i = 0u; i < ROW_KEYS; i++) {
      largest = max(largest, score_tile[my_row * (BLOCK + 1u) + i * SIDE + side]);
    }
    row_space[my_row * SIDE + side] = largest;
    workgroupBarrier();
    var new_top = top;
    /* unroll */ for (var i = 0u; i < SIDE; i++) {
      new_top = max(new_top, row_space[my_row * SIDE + i]);
    }
    let shrink = exp(top - new_top);
    top = new_top;
    mass *= shrink;
    /* unroll */ for (var i = 0u; i < ROW_KEYS; i++) {
      let at = my_row * (BLOCK + 1u) + i * SIDE + side;
      let score = score_tile[at];
      // top is LOWEST while a row has attended to nothing
      let weight = select(0f, exp(score - top), score > LOWEST);
      score_tile[at] = weight;
      mass += weight;
    }
    /* unroll */ for (var j = 0u; j < COLUMNS; j++) {
      sums[j] *= shrink;
    }

    for (var block = 0u; block < BLOCK; block += VALUE_KEYS) {
      workgroupBarrier();
      for (var i = thread; i < VALUE_KEYS * ROW_VECTORS; i += 256u) {
        let position = min(base + block + i / ROW_VECTORS, end - 1u);
        let vector = i % ROW_VECTORS;
        let place = start_at(cache_place(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE), vector);
        let bits = values[value_at(place, vector)];
        var scale = 1f;
        if (IS_SCALED) {
          scale = scales_in(keys[scales_at(place)]).y;
        }
        v_tile[i * VECTOR_VEC4S] = scale * low(bits);
        if (VECTOR_ELEMENTS == 8u) {
          v_tile[i * VECTOR_VEC4S + VECTOR_VEC4S - 1u] = scale * high(bits);
        }
      }
      workgroupBarrier();
      for (var key = 0u; key < VALUE_KEYS; key++) {
        let weight = score_tile[my_row * (BLOCK + 1u) + block + key];
        /* unroll */ for (var j = 0u; j < COLUMNS; j++) {
          let column = j * SIDE + side;
          if (PADDED4 % SIDE == 0u || column < PADDED4) {
            sums[j] = fma(vec4f(weight), v_tile[key * PADDED4 + column], sums[j]);
          }
        }
      }
    }
    workgroupBarrier();
  }

  row_space[my_row * SIDE + side] = mass;
  workgroupBarrier();
  var total = 0f;
  /* unroll */ for (var i = 0u; i < SIDE; i++) {
    total += row_space[my_row * SIDE + i];
  }
  if (first + my_row > last) {
    return;
  }
  /* unroll */ for (var j = 0u; j < COLUMNS; j++) {
    let column = j * SIDE + side;
    /* unroll */ for (var k = 0u; k < 4u; k++) {
      if (column * 4u + k < HEAD_DIM) {
        out[((row0 + my_row) * QUERY_HEADS + head) * HEAD_DIM + column * 4u + k] = sums[j][k] / total;
      }
    }
  }
}
