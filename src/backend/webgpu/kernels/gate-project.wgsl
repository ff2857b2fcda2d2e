// Prelude of the kernels of gates: a vector of one kv head through its weights, norm and RoPE. The kernel fills input_space and
// calls project with all its invocations. With: step.
override THREADS: u32;
override WIDTH: u32; // elements of the vector
override GATE_DIM: u32;
override PARTS: u32; // partial sums of an element
override NORMED: bool;
override ROTATED: bool;
override EPS: f32;
const HALF: u32 = GATE_DIM / 2u;
const PART_WIDTH: u32 = (WIDTH + PARTS - 1u) / PARTS;

var<storage, read> weights: array<f32>; // [kv heads, WIDTH, GATE_DIM]
var<storage, read> norm: array<f32>; // [GATE_DIM]
var<storage, read> rope: array<f32>; // [positions, GATE_DIM]: cos, then sin

var<workgroup> input_space: array<f32, WIDTH>;
var<workgroup> partial_space: array<f32, GATE_DIM * PARTS>;
var<workgroup> gate_space: array<f32, GATE_DIM>;

// Leaves the result, without RoPE, in gate_space.
fn project(kv_head: u32, thread: u32) {
  workgroupBarrier();
  for (var unit = thread; unit < GATE_DIM * PARTS; unit += THREADS) {
    let column = unit % GATE_DIM;
    let first = unit / GATE_DIM * PART_WIDTH;
    var sum = 0f;
    for (var i = first; i < min(first + PART_WIDTH, WIDTH); i++) {
      sum += input_space[i] * weights[(kv_head * WIDTH + i) * GATE_DIM + column];
    }
    partial_space[unit] = sum;
  }
  workgroupBarrier();
  for (var column = thread; column < GATE_DIM; column += THREADS) {
    var sum = 0f;
    for (var part = 0u; part < PARTS; part++) {
      sum += partial_space[part * GATE_DIM + column];
    }
    gate_space[column] = sum;
  }
  workgroupBarrier();
}

fn norm_scale() -> f32 {
  if (!NORMED) {
    return 1f;
  }
  var squares = 0f;
  for (var i = 0u; i < GATE_DIM; i++) {
    squares += gate_space[i] * gate_space[i];
  }
  return inverseSqrt(squares / f32(GATE_DIM) + EPS);
}

fn normed(column: u32, scale: f32) -> f32 {
  if (!NORMED) {
    return gate_space[column];
  }
  return gate_space[column] * scale * norm[column];
}

// An element of the result after norm and RoPE.
fn projected(column: u32, position: u32, scale: f32) -> f32 {
  if (!ROTATED) {
    return normed(column, scale);
  }
  let pair = column % HALF;
  let c = rope[position * GATE_DIM + pair];
  let s = rope[position * GATE_DIM + HALF + pair];
  let a = normed(pair, scale);
  let b = normed(pair + HALF, scale);
  return select(b * c + a * s, a * c - b * s, column < HALF);
}
