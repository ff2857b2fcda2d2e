// Brings the partial sums of attention together. One workgroup of THREADS for each query head and row: COLUMNS invocations
// side by side take four channels each, SHARES of them one above the other take every SHARES-th split, with a running
// largest score, and are brought together at the end.
const THREADS: u32 = 256u;
const QUERY_HEADS: u32 = 1u;
const HEAD_DIM: u32 = 4u;
const PADDED4: u32 = 1u;
const COLUMNS: u32 = min(PADDED4, THREADS);
const SHARES: u32 = THREADS / COLUMNS;
const AHEAD: u32 = 8u; // splits of an invocation in flight

struct Params {
  first_row: u32,
  splits: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]: sums; largest, mass
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> sum_space: array<vec4f, THREADS>;
var<workgroup> state_space: array<vec2f, THREADS>; // largest score and mass

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let origin = (group.y * QUERY_HEADS + group.x) * params.splits * (PADDED4 + 1u);
  let share = thread / COLUMNS;
  for (var block = 0u; block < PADDED4; block += COLUMNS) {
    let column = block + thread % COLUMNS;
    var state = vec2f(-3e38, 0f);
    var sum = vec4f();
    if (share < SHARES && column < PADDED4) {
      for (var first = share; first < params.splits; first += AHEAD * SHARES) {
        var others: array<vec2f, AHEAD>;
        var parts: array<vec4f, AHEAD>;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          let at = origin + min(first + i * SHARES, params.splits - 1u) * (PADDED4 + 1u);
          others[i] = partials[at + PADDED4].xy;
          parts[i] = partials[at + column];
        }
        var top = state.x;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          top = max(top, others[i].x);
        }
        let mine = exp(state.x - top);
        state = vec2f(top, state.y * mine);
        sum *= mine;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          let theirs = select(0f, exp(others[i].x - top), first + i * SHARES < params.splits);
          state.y += others[i].y * theirs;
          sum = fma(vec4f(theirs), parts[i], sum);
        }
      }
    }
    sum_space[thread] = sum;
    state_space[thread] = state;
    workgroupBarrier();
    if (share == 0u && column < PADDED4) {
      var top = -3e38;
      for (var s = 0u; s < SHARES; s++) {
        top = max(top, state_space[s * COLUMNS + thread].x);
      }
      var total = vec4f();
      var mass = 0f;
      for (var s = 0u; s < SHARES; s++) {
        let other = state_space[s * COLUMNS + thread];
        let weight = exp(other.x - top);
        total = fma(vec4f(weight), sum_space[s * COLUMNS + thread], total);
        mass = fma(weight, other.y, mass);
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
