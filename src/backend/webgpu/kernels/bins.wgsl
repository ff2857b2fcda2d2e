// Prelude: counts of keys by bins in workgroup memory, and the bin at which the largest keys reach a number. With: scan.
const BINS: u32 = 2048u;

struct Cut {
  bin: u32,
  need: u32, // how many of its keys are among the largest
  total: u32, // keys in it and above; 0xffffffff where all bins together hold fewer than asked for
  top: u32, // the highest bin that holds any
}

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> top_bin: atomic<u32>;
var<workgroup> cut_space: Cut;

// The bin of a key that is at least `least`.
fn bin_of(key: u32, least: u32, shift: u32) -> u32 {
  return min((key - least) >> shift, BINS - 1u);
}

// A barrier must follow.
fn clear_bins(thread: u32) {
  for (var i = thread; i < BINS; i += THREADS) {
    atomicStore(&bins[i], 0u);
  }
  if (thread == 0u) {
    atomicStore(&top_bin, 0u);
    cut_space = Cut(0u, 0u, 0xffffffffu, 0u);
  }
}

// Where the `need` largest keys end; each bin then says how many keys lie above it. Every invocation must call it, after a
// barrier.
fn cut_of(need: u32, thread: u32) -> Cut {
  // from the highest bin down, a run of them to each invocation
  const RUN: u32 = BINS / THREADS;
  var sum = 0u;
  for (var i = 0u; i < RUN; i++) {
    let bin = BINS - 1u - (thread * RUN + i);
    let here = atomicLoad(&bins[bin]);
    if (here > 0u && sum == 0u) {
      atomicMax(&top_bin, bin);
    }
    sum += here;
  }
  var above = scan(sum, thread);
  for (var i = 0u; i < RUN; i++) {
    let bin = BINS - 1u - (thread * RUN + i);
    let here = atomicLoad(&bins[bin]);
    if (above < need && above + here >= need) {
      cut_space = Cut(bin, need - above, above + here, atomicLoad(&top_bin));
    }
    atomicStore(&bins[bin], above);
    above += here;
  }
  return workgroupUniformLoad(&cut_space);
}
