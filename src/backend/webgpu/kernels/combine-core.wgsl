// Prelude: the partial sums of attention of one query head, brought together by a workgroup of THREADS: COLUMNS invocations
// side by side take four channels each, SHARES of them one above the other take every SHARES-th split, with a running largest
// score, and are brought together at the end. Who uses it takes the results: put_channel(head, channel, value).
override THREADS: u32;
override HEAD_DIM: u32;
override PADDED4: u32;
const COLUMNS: u32 = min(PADDED4, THREADS);
const SHARES: u32 = THREADS / COLUMNS;
const AHEAD: u32 = 8u; // splits of an invocation in flight

var<storage, read> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]: sums; largest, mass

var<workgroup> merge_sums: array<vec4f, THREADS>;
var<workgroup> merge_states: array<vec2f, THREADS>; // largest score and mass

// head: counted over rows too. Every invocation must call it.
fn merge_splits(head: u32, splits: u32, thread: u32) {
  let origin = head * splits * (PADDED4 + 1u);
  let share = thread / COLUMNS;
  for (var block = 0u; block < PADDED4; block += COLUMNS) {
    let column = block + thread % COLUMNS;
    var state = vec2f(-3e38, 0f);
    var sum = vec4f();
    if (share < SHARES && column < PADDED4) {
      for (var first = share; first < splits; first += AHEAD * SHARES) {
        var others: array<vec2f, AHEAD>;
        var parts: array<vec4f, AHEAD>;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          let at = origin + min(first + i * SHARES, splits - 1u) * (PADDED4 + 1u);
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
          let theirs = select(0f, exp(others[i].x - top), first + i * SHARES < splits);
          state.y += others[i].y * theirs;
          sum = fma(vec4f(theirs), parts[i], sum);
        }
      }
    }
    merge_sums[thread] = sum;
    merge_states[thread] = state;
    workgroupBarrier();
    if (share == 0u && column < PADDED4) {
      var top = -3e38;
      for (var s = 0u; s < SHARES; s++) {
        top = max(top, merge_states[s * COLUMNS + thread].x);
      }
      var total = vec4f();
      var mass = 0f;
      for (var s = 0u; s < SHARES; s++) {
        let other = merge_states[s * COLUMNS + thread];
        let weight = exp(other.x - top);
        total = fma(vec4f(weight), merge_sums[s * COLUMNS + thread], total);
        mass = fma(weight, other.y, mass);
      }
      /* unroll */ for (var k = 0u; k < 4u; k++) {
        if (column * 4u + k < HEAD_DIM) {
          put_channel(head, column * 4u + k, total[k] / mass);
        }
      }
    }
    workgroupBarrier();
  }
}
