// Prelude: combines the split-KV partials of one query head. COLUMNS invocations side by side take four channels each; STACKS
// such rows of invocations take every STACKS-th split each with a running maximum, and are combined at the end. The kernel
// defines put_channel(head, channel, value).
override THREADS: u32;
override HEAD_DIM: u32;
override PADDED4: u32;
const COLUMNS: u32 = min(PADDED4, THREADS);
const STACKS: u32 = THREADS / COLUMNS;
const AHEAD: u32 = 8u; // splits of an invocation in flight

var<storage, read> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]: sums; largest, mass

var<workgroup> combine_sums: array<vec4f, THREADS>;
var<workgroup> combine_states: array<vec2f, THREADS>; // largest score and mass

// head: row × heads + head. Every invocation must call it.
fn combine_splits(head: u32, splits: u32, thread: u32) {
  let origin = head * splits * (PADDED4 + 1u);
  let stack = thread / COLUMNS;
  for (var block = 0u; block < PADDED4; block += COLUMNS) {
    let column = block + thread % COLUMNS;
    var state = vec2f(-3e38, 0f);
    var sum = vec4f();
    if (stack < STACKS && column < PADDED4) {
      for (var first = stack; first < splits; first += AHEAD * STACKS) {
        var others: array<vec2f, AHEAD>;
        var partial_sums: array<vec4f, AHEAD>;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          let at = origin + min(first + i * STACKS, splits - 1u) * (PADDED4 + 1u);
          others[i] = partials[at + PADDED4].xy;
          partial_sums[i] = partials[at + column];
        }
        var top = state.x;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          top = max(top, others[i].x);
        }
        let mine = exp(state.x - top);
        state = vec2f(top, state.y * mine);
        sum *= mine;
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          let theirs = select(0f, exp(others[i].x - top), first + i * STACKS < splits);
          state.y += others[i].y * theirs;
          sum = fma(vec4f(theirs), partial_sums[i], sum);
        }
      }
    }
    combine_sums[thread] = sum;
    combine_states[thread] = state;
    workgroupBarrier();
    if (stack == 0u && column < PADDED4) {
      var top = -3e38;
      for (var s = 0u; s < STACKS; s++) {
        top = max(top, combine_states[s * COLUMNS + thread].x);
      }
      var total = vec4f();
      var mass = 0f;
      for (var s = 0u; s < STACKS; s++) {
        let other = combine_states[s * COLUMNS + thread];
        let weight = exp(other.x - top);
        total = fma(vec4f(weight), combine_sums[s * COLUMNS + thread], total);
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
