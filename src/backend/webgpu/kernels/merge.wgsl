// Brings the partial sums of attention together. One workgroup of THREADS for each query head and row. With: reduce
// (LANES = THREADS).
const QUERY_HEADS: u32 = 1u;
const HEAD_DIM: u32 = 4u;
const PADDED4: u32 = 1u;
const MAX_SPLITS: u32 = 1024u;
const COLUMNS: u32 = min(PADDED4, THREADS); // invocations side by side, four channels each
const SHARES: u32 = THREADS / COLUMNS; // of the splits, one above the other

struct Params {
  first_row: u32,
  splits: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]: sums; largest, mass
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> weight_space: array<f32, MAX_SPLITS>;
var<workgroup> sum_space: array<vec4f, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let origin = (group.y * QUERY_HEADS + group.x) * params.splits * (PADDED4 + 1u);
  var top = -3e38;
  for (var s = thread; s < params.splits; s += THREADS) {
    top = max(top, partials[origin + s * (PADDED4 + 1u) + PADDED4].x);
  }
  top = team_max(vec4f(top), thread).x;
  var mass = 0f;
  for (var s = thread; s < params.splits; s += THREADS) {
    let state = partials[origin + s * (PADDED4 + 1u) + PADDED4];
    let weight = exp(state.x - top);
    weight_space[s] = weight;
    mass = fma(weight, state.y, mass);
  }
  mass = team_sum(vec4f(mass), thread).x;
  workgroupBarrier();
  let share = thread / COLUMNS;
  for (var block = 0u; block < PADDED4; block += COLUMNS) {
    let column = block + thread % COLUMNS;
    var sum = vec4f();
    if (share < SHARES && column < PADDED4) {
      for (var s = share; s < params.splits; s += SHARES) {
        sum = fma(vec4f(weight_space[s]), partials[origin + s * (PADDED4 + 1u) + column], sum);
      }
    }
    sum_space[thread] = sum;
    workgroupBarrier();
    if (share == 0u && column < PADDED4) {
      var total = vec4f();
      for (var s = 0u; s < SHARES; s++) {
        total += sum_space[s * COLUMNS + thread];
      }
      let at = ((params.first_row + group.y) * QUERY_HEADS + group.x) * HEAD_DIM + column * 4u;
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        if (column * 4u + k < HEAD_DIM) {
          out[at + k] = total[k] / mass;
        }
      }
    }
    workgroupBarrier();
  }
}
