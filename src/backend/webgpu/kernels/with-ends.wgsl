// A set of units and both ends as ascending token positions: a bitmap of units, window by window, and a scan over its
// words. With: scan. One workgroup a group and sequence.
const UNIT: u32 = 1u;
const LENGTHS: u32 = 0u;
const WORDS: u32 = 2048u; // of the bitmap; a multiple of THREADS
const WINDOW: u32 = WORDS * 32u;
const MAX_UNITS: u32 = 65536u; // of the longest sequence
const RUN: u32 = WORDS / THREADS;

struct Params {
  first_sequence: u32,
  groups: u32,
  count: u32, // units of a group; 0: none
  unit_capacity: u32,
  sinks: u32,
  recent: u32,
  capacity: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> units: array<u32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

var<workgroup> bitmap: array<atomic<u32>, WORDS>;

fn mark(unit: u32, window: u32) {
  if (unit >= window && unit < window + WINDOW) {
    atomicOr(&bitmap[(unit - window) / 32u], 1u << (unit % 32u));
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.groups + group.x;
  let length = step[LENGTHS + params.first_sequence + group.y];
  let all = (length + UNIT - 1u) / UNIT;
  let origin = row * params.unit_capacity;
  let out = row * params.capacity;
  let recent = min(params.recent, all);
  var done = 0u; // units in earlier windows
  // `all` comes from memory; the barriers need a bound the compiler knows to be the same for all
  for (var window = 0u; window < MAX_UNITS; window += WINDOW) {
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
    let sums = scan(here, thread);
    var at = done + sums;
    for (var i = 0u; i < RUN; i++) {
      var bits = atomicLoad(&bitmap[thread * RUN + i]);
      while (bits != 0u) {
        let unit = window + (thread * RUN + i) * 32u + countTrailingZeros(bits);
        bits &= bits - 1u;
        // only the last unit can be cut short, and it comes last
        for (var k = 0u; k < UNIT && unit * UNIT + k < length; k++) {
          indices[out + at * UNIT + k] = unit * UNIT + k;
        }
        at++;
        if (unit == all - 1u) {
          counts[group.y] = at * UNIT - (all * UNIT - length);
        }
      }
    }
    done += scan_sum();
    workgroupBarrier();
  }
  // Without the last unit all units are whole.
  if (thread == 0u && recent == 0u) {
    var last_is_in = false;
    for (var i = 0u; i < params.count; i++) {
      last_is_in = last_is_in || units[origin + i] == all - 1u;
    }
    if (!last_is_in && params.sinks < all) {
      counts[group.y] = done * UNIT;
    }
  }
}
