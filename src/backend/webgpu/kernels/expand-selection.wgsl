// The union of a set of units and the always-kept tokens, as ascending token positions: a bitmap of units, window by window;
// then each invocation searches it for the units of its places in the output. With: scan, bits. One workgroup per head group and
// sequence.
override WORDS: u32; // of the bitmap; a power of two and a multiple of THREADS
const WINDOW: u32 = WORDS * 32u;
const RUN: u32 = WORDS / THREADS;

struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  groups: u32,
  count: u32, // units of a group; 0: none
  unit_capacity: u32,
  sinks: u32,
  recent: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> units: array<u32>;
var<storage, read_write> indices: array<u32>;
var<storage, read_write> counts: array<u32>;

var<workgroup> bitmap: array<atomic<u32>, WORDS>;
var<workgroup> earlier: array<u32, WORDS>; // units in earlier words

fn mark(unit: u32, window: u32) {
  if (unit >= window && unit - window < WINDOW) {
    atomicOr(&bitmap[(unit - window) / 32u], 1u << (unit % 32u));
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.groups + group.x;
  let length = step[params.lengths + group.y];
  let all = (length + params.unit - 1u) / params.unit;
  let origin = row * params.unit_capacity;
  let out = row * params.capacity;
  let recent = min(params.recent, all);
  var done = 0u; // units in earlier windows
  for (var window = 0u; window < all; window += WINDOW) {
    for (var i = thread; i < WORDS; i += THREADS) {
      atomicStore(&bitmap[i], 0u);
    }
    workgroupBarrier();
    for (var i = thread; i < params.count; i += THREADS) {
      mark(units[origin + i], window);
    }
    for (var i = thread; i < min(params.sinks, all); i += THREADS) {
      mark(i, window);
    }
    for (var i = thread; i < recent; i += THREADS) {
      mark(all - 1u - i, window);
    }
    workgroupBarrier();
    var here = 0u;
    for (var i = 0u; i < RUN; i++) {
      here += countOneBits(atomicLoad(&bitmap[thread * RUN + i]));
    }
    var before = scan(here, thread);
    for (var i = 0u; i < RUN; i++) {
      earlier[thread * RUN + i] = before;
      before += countOneBits(atomicLoad(&bitmap[thread * RUN + i]));
    }
    let found = scan_sum();
    for (var i = thread; i < found; i += THREADS) {
      // the last word that has at most i units before it
      var word = 0u;
      for (var step_ = WORDS / 2u; step_ > 0u; step_ /= 2u) {
        if (earlier[word + step_] <= i) {
          word += step_;
        }
      }
      let unit = window + word * 32u + nth_bit(atomicLoad(&bitmap[word]), i - earlier[word]);
      let to = (done + i) * params.unit;
      // only the last unit can be cut at the length, and it comes last
      for (var k = 0u; k < params.unit && unit * params.unit + k < length; k++) {
        indices[out + to + k] = unit * params.unit + k;
      }
    }
    done += found;
    // the last unit, if selected, is in the last window
    if (window + WINDOW >= all && thread == 0u) {
      let last = all - 1u - window;
      let is_cut = (atomicLoad(&bitmap[last / 32u]) & (1u << (last % 32u))) != 0u;
      counts[row] = done * params.unit - select(0u, all * params.unit - length, is_cut);
    }
    workgroupBarrier();
  }
}
