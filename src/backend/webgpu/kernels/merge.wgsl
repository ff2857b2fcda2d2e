// Brings the partial sums of attend.wgsl together. One workgroup of 256 for each query head and row.
const QUERY_HEADS: u32 = 1u;
const HEAD_DIM: u32 = 4u;
const PADDED: u32 = 4u;
const COLUMNS: u32 = min(PADDED, 256u); // invocations side by side, one channel each
const SHARES: u32 = 256u / COLUMNS; // of the splits, one above the other

struct Params {
  first_row: u32,
  splits: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> sum_space: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let origin = (group.y * QUERY_HEADS + group.x) * params.splits * (PADDED + 2u);
  let share = thread / COLUMNS;
  var largest = -3e38;
  for (var s = 0u; s < params.splits; s++) {
    largest = max(largest, partials[origin + s * (PADDED + 2u) + PADDED]);
  }
  for (var block = 0u; block < PADDED; block += COLUMNS) {
    let d = block + thread % COLUMNS;
    var sum = 0f;
    var mass = 0f;
    if (share < SHARES && d < PADDED) {
      for (var s = share; s < params.splits; s += SHARES) {
        let at = origin + s * (PADDED + 2u);
        let weight = exp(partials[at + PADDED] - largest);
        sum = fma(weight, partials[at + d], sum);
        mass = fma(weight, partials[at + PADDED + 1u], mass);
      }
    }
    sum_space[thread] = vec2f(sum, mass);
    workgroupBarrier();
    if (share == 0u && d < HEAD_DIM) {
      var total = vec2f();
      for (var s = 0u; s < SHARES; s++) {
        total += sum_space[s * COLUMNS + thread];
      }
      out[((params.first_row + group.y) * QUERY_HEADS + group.x) * HEAD_DIM + d] = total.x / total.y;
    }
    workgroupBarrier();
  }
}
