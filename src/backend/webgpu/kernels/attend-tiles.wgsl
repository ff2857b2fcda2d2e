// Causal attention of many rows of one sequence over everything cached (prefill), by tiles: each key and value that a
// workgroup takes into its memory serves BLOCK rows. With: storage, step.
// A workgroup of 256 makes BLOCK rows of one query head, BLOCK keys a turn with a running softmax: scores by threads of
// 2 × 2 over chunks of channels, then sums of values by SIDE threads a row.
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override SCALE: f32;
override VALUE_KEYS: u32; // values in workgroup memory at once; a divisor of BLOCK
const BLOCK: u32 = 32u;
const CHUNK4: u32 = 4u; // vec4s of a chunk of channels
const CHUNK_STRIDE: u32 = CHUNK4 + 1u; // one more, so that neighbouring rows lie in other banks
const PADDED4: u32 = ROW_PIECES * PIECE4;
const CHUNKS: u32 = (PADDED4 + CHUNK4 - 1u) / CHUNK4;
const SIDE: u32 = 8u; // threads of a row
const ROW_KEYS: u32 = BLOCK / SIDE; // scores of a thread in the softmax
const COLUMNS: u32 = (PADDED4 + SIDE - 1u) / SIDE; // vec4s of the output of a thread
const LEAST: f32 = -3e38;

struct Params {
  first_row: u32,
  rows: u32,
  sequence: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<f32>;
var<storage, read> keys: array<vec4u>;
var<storage, read> values: array<vec4u>;
var<storage, read_write> out: array<f32>;

var<workgroup> q_tile: array<vec4f, BLOCK * CHUNK_STRIDE>;
var<workgroup> k_tile: array<vec4f, BLOCK * CHUNK_STRIDE>;
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
  let first = group.x * BLOCK; // of the sequence's rows
  let last = min(first + BLOCK, params.rows) - 1u;
  let row0 = params.first_row + first;
  let end = step[ROW_LENGTHS + params.first_row + last]; // what the last row sees
  let start = end - (last - first + 1u); // position of the first row
  let tx = thread % 16u;
  let ty = thread / 16u;
  let my_row = thread / SIDE;
  let side = thread % SIDE;

  var top = LEAST;
  var mass = 0f;
  var sums: array<vec4f, COLUMNS> = array<vec4f, COLUMNS>();
  for (var base = 0u; base < end; base += BLOCK) {
    var dots: array<f32, 4> = array<f32, 4>();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      if (thread < BLOCK * CHUNK4) {
        let r = thread / CHUNK4;
        let column = chunk * CHUNK4 + thread % CHUNK4;
        var q = vec4f();
        var k = vec4f();
        if (column < PADDED4) {
          q = query_at(row0 + min(r, last - first), head, column);
          let position = min(base + r, end - 1u);
          let bits = keys[cache_row(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE) + column / PIECE4];
          k = low(bits);
          if (PIECE == 8u && column % 2u == 1u) {
            k = high(bits);
          }
        }
        q_tile[r * CHUNK_STRIDE + thread % CHUNK4] = q;
        k_tile[r * CHUNK_STRIDE + thread % CHUNK4] = k;
      }
      workgroupBarrier();
      /* unroll */ for (var c = 0u; c < CHUNK4; c++) {
        let q0 = q_tile[ty * CHUNK_STRIDE + c];
        let q1 = q_tile[(ty + 16u) * CHUNK_STRIDE + c];
        let k0 = k_tile[tx * CHUNK_STRIDE + c];
        let k1 = k_tile[(tx + 16u) * CHUNK_STRIDE + c];
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
      score_tile[r * (BLOCK + 1u) + key] = select(LEAST, dots[i], base + key <= start + r);
    }
    workgroupBarrier();

    var largest = LEAST;
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
      // a row that sees nothing yet has top = LEAST
      let weight = select(0f, exp(score - top), score > LEAST);
      score_tile[at] = weight;
      mass += weight;
    }
    /* unroll */ for (var j = 0u; j < COLUMNS; j++) {
      sums[j] *= shrink;
    }

    for (var block = 0u; block < BLOCK; block += VALUE_KEYS) {
      workgroupBarrier();
      for (var i = thread; i < VALUE_KEYS * ROW_PIECES; i += 256u) {
        let position = min(base + block + i / ROW_PIECES, end - 1u);
        let bits = values[cache_row(step[table + position / PAGE_SIZE], kv_head, position % PAGE_SIZE) + i % ROW_PIECES];
        v_tile[i * PIECE4] = low(bits);
        if (PIECE == 8u) {
          v_tile[i * PIECE4 + PIECE4 - 1u] = high(bits);
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
